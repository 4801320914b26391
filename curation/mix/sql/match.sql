-- The traces one part asks for, each with its place in the draw and what keeps it out, if anything does.
create or replace temp table matched as
select
    trace_id,
    prompt_id,
    [{stratum}]::varchar[] as stratum,
    {draw} as draw,
    case
        when refused is not null then 'benchmark ' || refused
        when {too_long} then 'over max_tokens'
    end as obstacle
from (
    select *, list_filter(held_out, lambda name: not list_contains([{allowed}]::varchar[], name))[1] as refused
    from candidates
    where ({where}
    )
)
{lengths}
where trace_id not in (select trace_id from kept)
