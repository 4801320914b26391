-- The text of the chosen traces, in the order of the mix.
select
    trace_id, prompt_id, part, kind, strategy, model, source, source_id, category, prompt, reasoning, answer,
    reference_answer, tokens,
    list_filter([{risky}], lambda name: name is not null)::varchar[] as risky
from candidates
join chosen using (trace_id)
order by position
