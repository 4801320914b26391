-- The annotators of the corpus, with the number of their annotations.
select annotator, count(*)
from annotations
group by annotator
order by annotator
