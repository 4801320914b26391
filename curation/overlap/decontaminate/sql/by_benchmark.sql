-- Traces by the first benchmark that they or their prompt share words with; null for none.
with found as (
    select t.trace_id, c.benchmark
    from traces t
    join contamination c on c.id = t.prompt_id
    where c.field in ('prompt', 'turns')
    union all
    select id as trace_id, benchmark from contamination where field not in ('prompt', 'turns')
)
select benchmark, count(*) as n
from traces
left join (select trace_id, min(benchmark) as benchmark from found group by trace_id) first_found using (trace_id)
group by all
order by all
