-- What the teacher does with each prompt: its kind, or the share of its traces whose answer refuses. Prompts without a decision are left out.
select p.prompt_id, p.text, decided.refused, decided.n
from prompts p
join (
    select
        prompt_id,
        avg(case when {kind} then (kind = 'harmful')::int else answer_refusal::int end) as refused,
        count(*) as n
    from candidates
    where ({where}
    )
    group by prompt_id
) decided using (prompt_id)
where decided.refused is not null
order by p.prompt_id
