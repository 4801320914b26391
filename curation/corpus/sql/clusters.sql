-- Duplicates as they stand: of each field and method the last generation counts.
create view current_clusters as
select clusters.* exclude (generation)
from clusters
semi join (select field, method, max(generation) as generation from clusters group by field, method) latest
    using (field, method, generation);

create view prompt_clusters as
select
    id as prompt_id,
    bool_or(not representative) as prompt_duplicate,
    -- the widest notion of a family that was looked at
    coalesce(max(cluster_id) filter (method = 'semantic'), max(cluster_id) filter (method = 'near'), max(cluster_id)) as family
from current_clusters
where field in ('prompt', 'query')
group by id;

-- A trace is a duplicate if one with a lower id answers a prompt of the same family alike. The same refusal given to
-- different prompts is no duplicate (`response_duplicate` finds those too).
create view response_clusters as
select
    trace_id,
    trace_id <> min(trace_id) over (partition by coalesce(family, prompt_id), response) as duplicate,
    trace_id <> response as response_duplicate
from (
    select id as trace_id, coalesce(max(cluster_id) filter (method = 'near'), max(cluster_id)) as response
    from current_clusters
    where field = 'response'
    group by id
)
join (select trace_id, prompt_id from traces) using (trace_id)
left join prompt_clusters using (prompt_id);
