-- Where patterns show in traces: every evidence span of an annotation that agrees with the consensus, and the text that it points into.
select distinct
    a.trace_id, a.pattern as name, span.field as field, span.start as start, span."end" as "end",
    case span.field when 'answer' then t.answer else t.reasoning end as text
from (select trace_id, pattern, unnest(spans) as span from current_annotations where label) a
join verdicts v on v.trace_id = a.trace_id and v.pattern = a.pattern and v.label
join traces t on t.trace_id = a.trace_id
where list_contains($patterns, a.pattern) and span.field in ('reasoning', 'answer')
order by a.trace_id, field, start, "end", name
