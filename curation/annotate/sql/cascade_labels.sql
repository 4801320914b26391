-- The scores of an annotator ($first) beside the labels of another ($judge), where both have spoken.
select f.trace_id, f.pattern, f.score::double as score, j.label
from annotations f
join annotations j using (trace_id, pattern)
where f.annotator = $first and j.annotator = $judge and f.score is not null and j.label is not null
order by all
