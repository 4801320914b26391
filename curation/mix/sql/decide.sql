-- Take the first of each stratum in draw order. A quota above the stratum's size goes round again: every trace has
-- quota // size copies, and the first quota % size have one more.
create or replace temp table decided as
select
    trace_id,
    {part} as part,
    case when obstacle is not null then obstacle when copies > 0 then 'kept' else 'not drawn' end as state,
    case when obstacle is null then copies else 0 end as copies
from (
    select
        trace_id,
        obstacle,
        quota // size + (row_number() over (partition by stratum, obstacle is null order by draw) <= quota % size)::bigint as copies
    from matched
    left join quotas using (stratum)
);

insert into decisions from decided;

insert into kept from decided where state = 'kept'
