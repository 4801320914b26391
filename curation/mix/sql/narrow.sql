-- Everything a mix decides by, without the long text: {columns} are those that the recipe names, {key} that of the prompt's words.
create temp table narrow as
with exact as (
    select prompt_key, list(distinct benchmark) as names from known_benchmarks where prompt_key is not null group by prompt_key
)
select
    {columns},
    t.estimated_tokens,
    -- an evaluation prompt is one whether or not anybody ran `curate decontaminate`
    list_sort(list_distinct(list_concat(c.benchmarks, exact.names))) as held_out
    {key}
from candidates c
left join traces_facts t on t.trace_id = c.trace_id
left join prompts_facts p on p.prompt_id = c.prompt_id
left join exact on exact.prompt_key = coalesce(p.prompt_key, t.prompt_key)
