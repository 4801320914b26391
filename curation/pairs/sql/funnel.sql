-- How many traces each condition of a pair matches alone, and how many prompts have both.
with good as (select distinct prompt_id from candidates where ({chosen}
)),
bad as (select distinct prompt_id from candidates where ({rejected}
))
select
    (select count(*) from candidates where ({chosen}
    )) as chosen,
    (select count(*) from candidates where ({rejected}
    )) as rejected,
    (select count(*) from good join bad using (prompt_id)) as prompts
