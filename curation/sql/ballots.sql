-- How often each combination of the machine annotators' votes on a pattern occurs, and what people say of these traces.
with people as (
    select trace_id, pattern, label from ranked_verdicts(0) where rank = 0 and label is not null
),
machines as (
    select trace_id, pattern, list({'name': name, 'label': label} order by name) as votes
    from current_annotations
    where rank > 0 and label is not null
    group by trace_id, pattern
)
select pattern, votes, people.label as truth, count(*) as traces
from machines
left join people using (trace_id, pattern)
group by all
order by all
