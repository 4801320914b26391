-- The mix in its final order: a shuffle that depends on nothing but the ids and the seed.
create temp table chosen as
select trace_id, part, tokens, row_number() over (order by md5({seed} || trace_id || part)) as position
from decisions
join lengths using (trace_id)
where state = 'kept'
