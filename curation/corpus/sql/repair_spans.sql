-- Where the risky patterns of traces show: every evidence span of an annotation that agrees with the consensus.
select a.trace_id, span.field as field, span.start as start, span."end" as "end"
from (
    select trace_id, pattern, unnest(spans) as span
    from current_annotations
    where label
) a
join verdicts v on v.trace_id = a.trace_id and v.pattern = a.pattern and v.label
where list_contains($risky, a.pattern)
