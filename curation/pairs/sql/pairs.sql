-- Pairs of a preferred and a rejected trace of one prompt, each with its one fate; {chosen} and {rejected} are the recipe's conditions.
with good as (
    select trace_id, prompt_id, parent_id, contaminated from candidates where ({chosen}
)),
bad as (
    select trace_id, prompt_id, contaminated from candidates where ({rejected}
)),
matched as (
    select g.trace_id as chosen, b.trace_id as rejected, g.prompt_id, g.contaminated or b.contaminated as contaminated,
        md5($seed || g.trace_id || b.trace_id) as draw
    from good g join bad b on {matched}
    where g.trace_id <> b.trace_id
),
placed as (
    select *, row_number() over (partition by prompt_id, contaminated order by draw) as place from matched
),
numbered as (
    select *, row_number() over (partition by contaminated or place > $per_prompt order by draw) as number from placed
)
select chosen, rejected, prompt_id,
    case when contaminated then 'contaminated' when place > $per_prompt then 'per_prompt' when number > $take then 'not drawn' else 'kept' end
        as state
from numbered
order by draw
