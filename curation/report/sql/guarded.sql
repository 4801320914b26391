-- Traces that a guard calls safe.
select trace_id
from verdicts
where pattern = 'unsafe' and not label
