-- A row about no trace for each annotator and pattern.
select distinct '' as trace_id, pattern, annotator
from annotations
