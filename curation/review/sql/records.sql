-- The traces of a review round with the labels of the machine annotators (without people's, so that reviewers stay
-- independent).
-- found: whether any machine annotator says that a pattern (of those that are yes or no) is there, even if others outvote it.
with tasks as (
    select * from review_tasks where round = $round
),
machine_labels as (
    select
        trace_id,
        list({'pattern': pattern, 'label': label, 'score': score, 'provenance': provenance} order by pattern) as verdicts
    from verdicts_from(1)
    semi join tasks using (trace_id)
    where pattern in {patterns}
    group by trace_id
),
found as (
    select trace_id, bool_or(label) as found
    from current_annotations
    semi join tasks using (trace_id)
    where rank > 0 and pattern in {ticked}
    group by trace_id
),
evidence as (
    select trace_id, list({'pattern': pattern, 'score': score, 'spans': spans} order by pattern, annotator) as evidence
    from current_annotations
    semi join tasks using (trace_id)
    where rank > 0 and label and len(spans) > 0 and pattern in {patterns}
    group by trace_id
)
select
    trace_id, position, reason, blind, traces.prompt, traces.turns, reasoning, answer, strategy, model, traces.source,
    coalesce(traces.kind, prompts.kind) as kind, prompts.category, verdicts, evidence, coalesce(found, false) as found
from tasks
join traces using (trace_id)
left join prompts on prompts.prompt_id = traces.prompt_id
left join machine_labels using (trace_id)
left join evidence using (trace_id)
left join found using (trace_id)
order by position
