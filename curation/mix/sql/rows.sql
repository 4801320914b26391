-- The text of the chosen traces of one split, in the order of the mix. A repeat is a row of its own, but only to train on.
select
    trace_id, prompt_id, part::varchar as part, copy, kind, strategy, model, source, source_id, category, prompt, reasoning,
    answer, reference_answer, tokens,
    list_filter([{risky}], lambda name: name is not null)::varchar[] as risky, turns, tools
from narrow
join chosen using (trace_id)
join (select trace_id, prompt, turns, tools, reasoning, answer from traces semi join chosen using (trace_id)) using (trace_id)
left join (select prompt_id, reference_answer from prompts) using (prompt_id)
where split = {split} and (split = 'train' or copy = 0)
order by position
