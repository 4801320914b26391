-- Which data sets a prompt belongs to, each with the attack that it is and the query that this attack wraps: its own source, and
-- the evaluation sets that it was found in later.
create view prompt_sets as
select prompt_id, source as evaluation_set, attack, if(json_type(extra, '$.query') = 'VARCHAR', extra ->> '$.query', null) as query
from prompts
where source is not null
union all
select prompt_id, evaluation_set, attack, query
from memberships;
