-- Verdicts on each pattern, of as many traces as each combination has.
select
    pattern,
    coalesce(sum(traces) filter (label), 0) as present,
    coalesce(sum(traces) filter (not label), 0) as absent,
    coalesce(sum(traces) filter (label is null), 0) as abstained
from verdicts
join combinations using (trace_id)
group by pattern
order by pattern
