-- The text of the chosen traces of one split, in the order of the mix. A repeat is a row of its own, but only to train on.
select
    trace_id, t.prompt_id, part::varchar as part, copy, coalesce(t.kind, p.kind) as kind, strategy, model, source, source_id, category, prompt, reasoning,
    answer, reference_answer, tokens,
    list_filter([{risky}], lambda name: name is not null)::varchar[] as risky, turns, tools
from (select trace_id, {labels} from narrow) n
join chosen using (trace_id)
join (
    select trace_id, prompt_id, kind, strategy, model, source, source_id, prompt, turns, tools, reasoning, answer
    from traces semi join chosen using (trace_id)
) t using (trace_id)
left join (select prompt_id, kind, category, reference_answer from prompts) p on p.prompt_id = t.prompt_id
where split = {split} and (split = 'train' or copy = 0)
order by position
