-- Who decided the labels of some patterns ($patterns) of some replies ($ids).
select trace_id, pattern, provenance
from verdicts
semi join (select unnest($ids::varchar[]) as trace_id) using (trace_id)
where list_contains($patterns, pattern) and label is not null
