-- What the machine annotators' current versions said, before any threshold, beside what people say of the same traces.
select a.annotator, a.pattern, a.score, a.label, people.label as truth, t.prompt_id
from annotations a
join latest_annotators l using (annotator)
join (select trace_id, pattern, label from ranked_verdicts(0) where rank = 0 and label is not null) people
    using (trace_id, pattern)
join traces t using (trace_id)
where l.rank > 0
order by all
