-- The risky patterns of each trace of `asked`; {risky} is a list of their names or nulls.
select trace_id, source_file, [{risky}] as risky
from candidates
semi join asked using (trace_id)
