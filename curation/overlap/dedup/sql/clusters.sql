-- What each comparison found.
select
    field || ' by ' || method as work,
    count(*) as texts,
    count_if(not representative)::bigint as duplicates,
    count(distinct cluster_id) as clusters
from current_clusters
group by all
order by all
