-- How many of the traces on harmful prompts show a risky pattern, of those judged on all of them; {only} narrows the traces.
select count_if(risky)::bigint as k, count(risky) as n
from candidates
where kind = 'harmful' {only}
