-- What an Inspect log shows of some replies ($ids).
select
    trace_id, kind, attack, prompt, turns, reasoning, answer, extra, answer_refusal,
    case when kind <> 'code' then reference_answer end as reference_answer
from candidates
semi join (select unnest($ids::varchar[]) as trace_id) using (trace_id)
