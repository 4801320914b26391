-- What an Inspect log shows of some replies ($ids).
select
    prompt_id, sample_index, kind, prompt, turns, reasoning, answer, extra, answer_refusal,
    case when kind <> 'code' then reference_answer end as reference_answer
from candidates
semi join (select unnest($ids::varchar[]) as trace_id) using (trace_id)
