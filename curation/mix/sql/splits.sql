-- Rows of each split.
select split, count(*)
from chosen
group by split
order by split
