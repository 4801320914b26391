-- Traces of which one annotator says yes and another no, about one pattern; {only} is a condition over that.
select trace_id
from (select trace_id, pattern from current_annotations where label)
join (select trace_id, pattern from current_annotations where not label) using (trace_id, pattern)
where {only}
