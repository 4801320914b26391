-- A few traces that show a pattern ({pattern}), with the evidence of those who saw it, in an order that nothing sways.
select
    v.trace_id, v.provenance, t.prompt, t.reasoning, t.answer, t.strategy, t.model, t.source,
    (
        select flatten(list(spans)) from current_annotations c
        where c.trace_id = v.trace_id and c.pattern = v.pattern and c.label
    ) as spans
from (select * from verdicts where pattern = {pattern} and label order by md5(trace_id) limit {limit}) v
join traces t using (trace_id)
order by md5(v.trace_id)
