-- Traces that an annotator ($annotator, "name@version") has said nothing of yet.
select trace_id
from traces
anti join (select distinct trace_id from annotations where annotator = $annotator) judged using (trace_id)
