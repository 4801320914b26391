-- Who has labelled each trace of `asked`.
select trace_id, list(distinct annotator) as names
from current_annotations
semi join asked using (trace_id)
group by all
