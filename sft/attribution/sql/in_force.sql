-- The versions of influences that are there, and which are in force for all of some behaviours.
select attribution_id, version, count(distinct behaviour) filter (latest) = len($behaviours) as in_force
from (
    select attribution_id, version, behaviour, list_contains($behaviours, behaviour) and version = max(version) over (partition by behaviour) as latest
    from influences
)
group by attribution_id, version
