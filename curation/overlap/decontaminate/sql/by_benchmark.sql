-- Traces by the first benchmark that they share words with; null for none.
select benchmarks[1] as benchmark, count(*) as n
from candidates
group by all
order by all
