-- What each annotator says of each trace and pattern where it says something; "people" is the majority of the people.
select trace_id, pattern, name, label
from current_annotations
where label is not null and pattern in {patterns}
union all
select trace_id, pattern, 'people' as name, label
from ranked_verdicts(0)
where rank = 0 and label is not null and pattern in {patterns}
order by all
