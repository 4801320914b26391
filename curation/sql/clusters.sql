-- Duplicates as they stand: of each field and method the last generation counts.
create view current_clusters as
select clusters.* exclude (generation)
from clusters
semi join (select field, method, max(generation) as generation from clusters group by field, method) latest
    using (field, method, generation);

create view response_clusters as
select id as trace_id, bool_or(not representative) as duplicate
from current_clusters
where field = 'response'
group by id;

create view prompt_clusters as
select
    id as prompt_id,
    bool_or(not representative) as prompt_duplicate,
    -- the widest notion of a family that was looked at
    coalesce(max(cluster_id) filter (method = 'semantic'), max(cluster_id) filter (method = 'near'), max(cluster_id)) as family
from current_clusters
where field in ('prompt', 'query')
group by id;
