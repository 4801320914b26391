-- What counts of some replies ($ids); the tests of coding problems are read apart, since they can be large. {patterns} names
-- the columns of the risky patterns.
select
    trace_id, prompt_id, sample_index, category, attack, kind, reasoning, answer, finish_reason, unsafe, unsafe_reasoning, unsafe_answer,
    case when kind <> 'code' then reference_answer end as reference_answer,
    answer_refusal, reasoning_refusal, full_refusal, partial_refusal, extra, strongreject,
    {patterns}
from candidates
semi join (select unnest($ids::varchar[]) as trace_id) using (trace_id)
left join (
    select trace_id, max(score) as strongreject
    from current_annotations
    where pattern = 'unsafe_answer' and name like 'guard:strongreject%'
    group by trace_id
) using (trace_id)
order by trace_id
