-- The annotators (without versions) of each pattern, and how many annotations of it they made.
select latest_annotators.name, latest_annotators.rank, pattern, annotations
from (
    select split_part(annotator, '@', 1) as name, pattern, sum(annotations)::bigint as annotations from annotation_counts group by all
)
join latest_annotators using (name)
order by all
