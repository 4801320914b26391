-- Traces of each source.
select coalesce(source, '(none)') as source, count(*) as traces
from traces
group by all
order by all
