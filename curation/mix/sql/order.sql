-- The mix in its final order: a shuffle that depends on nothing but the ids and the seed, or what the recipe asks for first.
create temp table chosen as
select
    trace_id, part, copy, tokens, {split} as split,
    row_number() over (order by {order}md5({seed} || trace_id || part || case when copy > 0 then copy::varchar else '' end)) as position
from (
    select trace_id, part::enum ({parts}) as part, unnest(range(copies)) as copy
    from kept
)
join lengths using (trace_id)
{candidates}
