-- Traces and rows of the part just decided, by what was decided about them.
select state, count(*), sum(copies)::bigint
from decided
group by all
order by all
