-- The traces that stand in pairs, with what a row of a mix has. `any_risk` is null where no annotator could tell.
select trace_id, prompt_id, kind, strategy, model, source, source_id, category, prompt, reasoning, answer, reference_answer, turns, tools,
    risky as any_risk, list_filter([{patterns}], lambda name: name is not null)::varchar[] as risky
from candidates
where trace_id in (select unnest($ids))
