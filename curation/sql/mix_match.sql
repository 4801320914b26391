-- The traces one part asks for, each with its place in the draw and what keeps it out, if anything does.
create or replace temp table matched as
select
    trace_id,
    prompt_id,
    [{stratum}]::varchar[] as stratum,
    {draw} as draw,
    case
        when benchmark is not null then 'benchmark ' || benchmark
        when {too_long} then 'over max_tokens'
    end as obstacle
from (select * from candidates where ({where}
))
{lengths}
left join held_out using (prompt_id)
where trace_id not in (select trace_id from decisions where state = 'kept')
