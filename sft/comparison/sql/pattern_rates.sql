-- How often each risky pattern was found in the answers to harmful prompts, by strategy.
select t.strategy, v.pattern, count_if(v.label)::bigint as k, count(v.label) as n
from traces t
left join prompts p using (prompt_id)
join verdicts v using (trace_id)
where coalesce(t.kind, p.kind) = 'harmful' and t.strategy is not null
group by all
order by all
