-- Traces and rows of a part ($part) by what was decided about them.
select state, count(*), sum(copies)::bigint
from decisions
where part = $part
group by all
order by all
