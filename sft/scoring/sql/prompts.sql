-- The prompts of a suite, at most $limit of them, drawn by hash; {where} is one condition over `prompts`. Those that already have
-- traces of other models are included, and those that other sets have as well.
select prompt_id, text, turns, tools, kind, category
from (
    select *
    from prompts
    where ({where}
    )
)
where list_contains($kinds, kind) and (
        len($sets::varchar[]) = 0
        or prompt_id in (select prompt_id from prompt_sets where list_contains($sets::varchar[], evaluation_set))
    )
qualify row_number() over (order by md5(prompt_id), prompt_id) <= $limit
order by prompt_id
