-- What an ingest says of rows that are already there and the corpus says otherwise. A claim names its trace by id, or by its
-- place and text where strategy and model, which are part of the id, are what differs. Of several claims the first counts.
create or replace temp table differences as
with identified as (
    select c.subject, coalesce(c.id, t.trace_id) as id, c.* exclude (subject, id)
    from claims c
    left join traces t
        on c.said is not null
        and t.source_file = c.source_file
        and t.source_line = c.source_line
        and t.prompt_id = c.prompt_id
        and md5(t.reasoning || chr(31) || t.answer) = c.said
),
first_claims as (
    select * from identified where id is not null qualify row_number() over (partition by subject, id order by place) = 1
),
known as (
    select
        'prompts' as subject, prompt_id as id, kind, source, category, attack, reference_answer,
        null as strategy, null as strategy_version, null as model
    from prompts
    where prompt_id in (select id from first_claims where subject = 'prompts')
    union all
    select 'traces', trace_id, kind, source, null, null, null, strategy, strategy_version, model
    from traces
    where trace_id in (select id from first_claims where subject = 'traces')
)
select subject, id, field, previous, value, source_file, source_line
from (
    select
        c.subject, c.id, c.source_file, c.source_line,
        unnest(['kind', 'source', 'category', 'attack', 'reference_answer', 'strategy', 'strategy_version', 'model']) as field,
        unnest([c.kind, c.source, c.category, c.attack, c.reference_answer, c.strategy, c.strategy_version, c.model]) as value,
        unnest([k.kind, k.source, k.category, k.attack, k.reference_answer, k.strategy, k.strategy_version, k.model]) as previous
    from first_claims c
    join known k using (subject, id)
)
where value is not null and value is distinct from previous
