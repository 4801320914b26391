-- The annotators of the corpus, with the number of their annotations.
select annotator, sum(annotations)::bigint
from annotation_counts
group by annotator
order by annotator
