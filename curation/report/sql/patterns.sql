-- How often each pattern was found in the answers to harmful prompts, by strategy; {only} narrows the traces.
select coalesce(strategy, '(none)') as strategy, pattern, count_if(label)::bigint as k, count(label) as n
from verdicts
join traces using (trace_id)
left join (select prompt_id, kind as prompt_kind from prompts) using (prompt_id)
where coalesce(kind, prompt_kind) = 'harmful' and pattern in {patterns} {only}
group by all
having count(label) > 0
order by all
