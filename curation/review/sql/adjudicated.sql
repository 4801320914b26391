-- The traces of a round ($round) in its order, without those that were sent to an adjudicator of it; what this one ($mine) was sent stays.
select trace_id
from review_tasks
where round = $round
and trace_id not in (
    select trace_id
    from review_tasks
    where reason = 'dispute' and starts_with(round, $round || '-adjudication') and round <> $mine
)
order by position
