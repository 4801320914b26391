-- Rows in quarantine by reason and file.
select reason, source_file, count(*) as rows
from quarantine
group by all
order by all
