-- How long the traces of each strategy are.
select strategy, count(*) as n, avg(reasoning_tokens + answer_tokens) as mean
from traces
where reasoning_tokens is not null and strategy is not null
group by strategy
