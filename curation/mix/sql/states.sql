-- Every trace of the corpus with its one fate in this mix; a trace that several parts looked at has the best of its fates.
select state, count(*)
from (
    select arg_min(state, case state when 'kept' then 0 when 'not drawn' then 1 else 2 end) as state
    from decisions
    group by trace_id
)
group by state
union all
select 'no part matches', n
from (select (select count(*) from traces) - (select count(distinct trace_id) from decisions) as n)
where n > 0
order by state
