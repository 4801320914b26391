-- The annotators (without versions) of each pattern.
select distinct latest_annotators.name, latest_annotators.rank, pattern
from (select distinct split_part(annotator, '@', 1) as name, pattern from annotations)
join latest_annotators using (name)
order by all
