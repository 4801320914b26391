-- What the consensus says of each entry, and where its evidence stands (medians over the traces that have some).
select
    pattern,
    sum(traces) filter (label)::bigint as k,
    sum(traces) filter (label is not null)::bigint as n,
    list({'score': score, 'traces': traces} order by score) filter (score is not null) as scores,
    any_value(first) as first,
    any_value(share) as share
from (
    select pattern, label, if(label is null, null, round(score, 4)) as score, count(*) as traces
    from verdicts
    where pattern in {patterns}
    group by all
) counted
left join (
    select pattern, median(first) as first, median(share) as share from trajectories group by pattern
) using (pattern)
group by pattern
