-- What each annotator says of one entry ($pattern) with levels or numbers, as a score from 0 to 1.
select trace_id, name, round(coalesce(score, label::int), 6) as score
from current_annotations
where pattern = $pattern and label is not null
order by all
