-- The prompts to generate for, in the order of their files; {where} is one condition over `prompts`.
-- A limit draws by hash, so that the draw does not depend on files, threads or machine.
select prompt_id, text, turns, tools, kind, source, category, source_file, source_line, source_id
from (
    select *
    from prompts
    where ({where}
    )
    qualify row_number() over (order by md5($seed || prompt_id), prompt_id) <= $limit
)
order by source_file, source_line, prompt_id
