-- Reasoning and answer of some traces ($ids).
select trace_id, reasoning, answer
from traces
semi join (select unnest($ids::varchar[]) as trace_id) using (trace_id)
