-- Traces with a verdict in somebody's last review; {only} is a condition over it.
select trace_id
from (select trace_id, reviewer, updated_at, verdict from reviews where status = 'submitted' and verdict is not null)
join (select trace_id, reviewer, max(updated_at) as updated_at from reviews group by trace_id, reviewer)
    using (trace_id, reviewer, updated_at)
where {only}
