-- The rows of each part that are written: a repeat of a trace that is held out is none.
select part::varchar as part, count(*) filter (split = 'train' or copy = 0) as rows
from chosen
group by all
