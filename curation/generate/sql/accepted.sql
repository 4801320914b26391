-- Each trace: whether it is accepted ({accept}; null where unknown), and its tokens.
select
    trace_id,
    ({accept}
    ) as accepted,
    coalesce(prompt_tokens, 0) as sent,
    coalesce(reasoning_tokens, 0) + coalesce(answer_tokens, 0) as written
from candidates
