-- How many of the traces that may be repaired are accepted as they are ({accept}), and what they cost.
select
    count(*) as traces,
    coalesce(count_if({accept}
    ), 0)::int as accepted,
    coalesce(sum(reasoning_tokens + answer_tokens), 0) as tokens
from candidates
where parent_id is null and ({where}
)
