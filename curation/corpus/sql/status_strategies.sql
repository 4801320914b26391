-- Traces of each strategy.
select coalesce(strategy, '(none)') as strategy, count(*) as traces
from traces
group by all
order by all
