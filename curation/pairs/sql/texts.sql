-- The texts of the traces that stand in pairs.
select trace_id, prompt_id, kind, prompt, reasoning, answer, reference_answer, turns, tools, risky
from candidates
where trace_id in (select unnest($ids))
