-- How many traces an annotator ($annotator, "name@version") labelled for a pattern, and how many true under a threshold.
select
    count(label) as traces,
    count_if(if($threshold is null or score is null, label, score >= $threshold::float)) as positives
from annotations
where annotator = $annotator and pattern = $pattern and label is not null
