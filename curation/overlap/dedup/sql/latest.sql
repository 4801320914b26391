-- The last generation of clusters of a field and a method.
select max(generation) as generation
from clusters
where field = $field and method = $method
