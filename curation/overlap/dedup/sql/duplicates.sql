-- Traces, and how many of them are duplicates.
select count(*) as traces, coalesce(count_if(duplicate), 0)::bigint as duplicates
from traces
left join response_clusters using (trace_id)
