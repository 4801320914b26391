-- How many source rows differ, by field and by what is said.
select field, previous, value, count(distinct (source_file, source_line)) as rows
from differences
group by all
order by field, rows desc, previous, value
