-- What rows of mixes did for behaviours of models, as it stands: of each behaviour the last version counts.
create view current_influences as
select influences.*
from influences
semi join (select behaviour, max(version) as version from influences group by behaviour) latest using (behaviour, version);

-- A trace that several rows were made of counts as the strongest of them.
create view trace_influences as
select
    trace_id,
    map_from_entries(
        list({k: behaviour, v: {influence: influence, "rank": "rank", share: share, method: method}} order by behaviour)
    ) as influence
from (
    select
        trace_id, behaviour, max(influence) as influence, min("rank") as "rank", min(share) as share, any_value(method) as method
    from current_influences
    group by trace_id, behaviour
)
group by trace_id;
