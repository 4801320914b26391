-- The narrow table with the long text beside it, for conditions that look at the text.
select narrow.*, t.prompt, t.turns, t.tools, t.reasoning, t.answer, t.extra, p.reference_answer
from narrow
join traces t using (trace_id)
left join prompts p on p.prompt_id = narrow.prompt_id
