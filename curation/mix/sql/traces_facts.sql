-- What mixes need to know of the texts of traces: how long they are, and the key of the words of a prompt that has no row of its own.
select trace_id, {estimate} as estimated_tokens, prompt_key
from unread_traces
left join (
    select prompt_id, {key} as prompt_key
    from (select prompt_id, any_value(prompt) as prompt from unread_traces anti join prompts using (prompt_id) group by prompt_id)
) using (prompt_id)
