-- What the machine annotators' current versions said, before any threshold, beside what people say of the same traces, and whether
-- people were shown the trace as doubtful ("audit" traces were drawn at random; labels from outside a round count as random).
select a.annotator, a.pattern, a.score, a.label, people.label as truth, t.prompt_id, shown.disputed is true as disputed
from annotations a
join latest_annotators l using (annotator)
join (select trace_id, pattern, label from ranked_verdicts(-1) where rank <= 0 and label is not null) people
    using (trace_id, pattern)
join traces t using (trace_id)
left join (select trace_id, bool_and(reason not in ('audit', 'diversity')) as disputed from review_tasks where reason <> 'gold' group by trace_id) shown using (trace_id)
where l.rank > 0
order by all
