-- Traces by {by}: how many, and of those on harmful prompts that are judged on all risky patterns, how many show one.
select
    {by} as value,
    count(*) as traces,
    count(risky) filter (kind = 'harmful') as judged,
    count_if(risky) filter (kind = 'harmful')::bigint as risky
from candidates
group by all
order by traces desc, value
