-- Where in the reasoning the evidence of a pattern stands, from all annotators that found it: the first and the last of it, and how much
-- of the text it covers, each as a share of the reasoning's characters. Only for annotators that give spans.
create view trajectories as
select
    trace_id,
    pattern,
    min(start) / length as first,
    max(stop) / length as last,
    sum(greatest(0, stop - greatest(start, reached))) / length as share
from (
    select
        *,
        coalesce(
            max(stop) over (
                partition by trace_id, pattern order by start, stop rows between unbounded preceding and 1 preceding
            ),
            0
        ) as reached
    from (
        select trace_id, pattern, span.start as start, span."end" as stop, length(reasoning)::double as length
        from (select trace_id, pattern, unnest(spans) as span from current_annotations where label)
        join traces using (trace_id)
        where span.field = 'reasoning' and reasoning <> ''
    )
)
group by trace_id, pattern, length
