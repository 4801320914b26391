-- Everything a mix decides by, without the long text; lengths and the keys of the prompts are taken from it here, once.
with keys as (
    select prompt_id, {prompt_key} as prompt_key from prompts
    union all
    select prompt_id, {trace_key} as prompt_key
    from (select prompt_id, any_value(prompt) as prompt from traces anti join prompts using (prompt_id) group by prompt_id)
),
exact as (
    select prompt_key, list(distinct benchmark) as names from known_benchmarks where prompt_key is not null group by prompt_key
)
select
    c.* exclude (prompt, turns, tools, reasoning, answer, extra, reference_answer),
    {estimate} as estimated_tokens,
    prompt_key,
    -- an evaluation prompt is one whether or not anybody ran `curate decontaminate`
    list_sort(list_distinct(list_concat(c.benchmarks, names))) as held_out
from candidates c
left join keys using (prompt_id)
left join exact using (prompt_key)
