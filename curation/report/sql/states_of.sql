-- What each part of a mix decided about each trace of `asked`.
select trace_id, part, state
from decisions
semi join asked using (trace_id)
order by all
