-- Every trace of the corpus with its one fate in this mix; a trace that several parts looked at has the best of its fates.
select state, count(*)
from (
    select trace_id, coalesce(arg_min(state, case state when 'kept' then 0 when 'not drawn' then 1 else 2 end), 'no part matches') as state
    from traces left join decisions using (trace_id)
    group by trace_id
)
group by state
order by state
