-- How often each combination of labels of one pattern occurs ({columns}: one per annotator, and the majority of the
-- people).
select {columns}, count(*) as traces
from labels
group by all
order by all
