-- How often each risky pattern is found among the strongest rows of a behaviour (a share of at most {top}) and among all its rows, of those judged.
select
    behaviour, pattern,
    count_if(label and share <= {top})::bigint as top_k, count(label) filter (share <= {top}) as top_n,
    count_if(label)::bigint as k, count(label) as n
from current_influences
join verdicts using (trace_id)
where pattern in {patterns}
group by all
having count(label) > 0
order by all
