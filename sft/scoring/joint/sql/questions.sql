-- The question inside every attack among some prompts ($ids), by what some sets ($sets; all if empty) say, as a prompt of the
-- corpus; its columns are null where it is none, or where no set knows the question.
with attacks as (
    select prompt_id as attack_id, arg_min(query, evaluation_set) as query
    from prompt_sets
    semi join (select unnest($ids::varchar[]) as prompt_id) using (prompt_id)
    where (query is not null or attack is not null) and (len($sets::varchar[]) = 0 or list_contains($sets::varchar[], evaluation_set))
    group by prompt_id
)
select attack_id, q.prompt_id, q.text, q.turns, q.tools, q.kind
from attacks
join prompts a on a.prompt_id = attack_id and a.text is distinct from query
left join prompts q on q.text = query and q.turns is null
qualify row_number() over (partition by attack_id order by q.prompt_id) = 1
order by attack_id
