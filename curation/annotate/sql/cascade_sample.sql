-- The traces on which a cascade is fitted: $size of them, drawn by hash. Queries that are known not to be harmful have nothing to
-- teach about four of the five patterns, so they come last.
select trace_id
from traces
where trim(reasoning) <> ''
order by coalesce(kind, 'harmful') <> 'harmful', md5('cascade' || trace_id)
limit $size
