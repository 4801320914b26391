-- How many traces have evidence of a pattern in each twentieth of their reasoning.
select pattern, bin, count(distinct trace_id) as traces
from (
    select
        trace_id,
        pattern,
        unnest(generate_series(floor(20 * span.start / length)::bigint, floor(20 * (span."end" - 1) / length)::bigint)) as bin
    from (select trace_id, pattern, unnest(spans) as span from current_annotations where label)
    join (select trace_id, length(reasoning)::double as length from traces where reasoning <> '') using (trace_id)
    where span.field = 'reasoning' and pattern in {patterns}
)
where bin < 20
group by all
order by all
