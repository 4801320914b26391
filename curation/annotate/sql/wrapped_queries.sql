-- The query inside every prompt that is an attack; of several sets the first by name.
select prompt_id, arg_min(query, evaluation_set) as query
from prompt_sets
where attack is not null and query is not null
group by prompt_id
