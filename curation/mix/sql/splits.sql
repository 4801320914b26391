-- Rows of each split.
select split, count(*)
from chosen
where split = 'train' or copy = 0
group by split
order by split
