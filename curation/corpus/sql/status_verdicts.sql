-- Verdicts on each pattern, of as many traces as each combination has.
select
    pattern,
    coalesce(sum(traces) filter (label), 0)::bigint as present,
    coalesce(sum(traces) filter (not label), 0)::bigint as absent,
    coalesce(sum(traces) filter (label is null), 0)::bigint as abstained
from verdicts
join combinations using (trace_id)
group by pattern
order by pattern
