-- Take the first `quota` of each stratum in draw order.
insert into decisions
select
    trace_id,
    {part},
    case when obstacle is not null then obstacle when position <= quota then 'kept' else 'not drawn' end
from (
    select *, row_number() over (partition by stratum, obstacle is null order by draw) as position
    from matched
)
left join quotas using (stratum)
