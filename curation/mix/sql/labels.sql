-- Categories of several labels (joined by ` | `) stratify by label: a trace counts for the rarest of its labels among the usable traces,
-- so that small categories are seen and every trace counts once. {place} is where the category stands among the part's strata.
create or replace temp table matched as
with categories as (
    select stratum[{place}] as category, count(*) filter (obstacle is null) as usable from matched group by all
),
labels as (
    select unnest(list_distinct(string_split(category, ' | '))) as label, category, usable from categories where category is not null
),
sizes as (select label, sum(usable) as size from labels group by label),
rarest as (select category, arg_min(label, (size, label)) as label from labels join sizes using (label) group by category)
select
    matched.* replace (list_concat(stratum[:{place} - 1], [coalesce(label, stratum[{place}])], stratum[{place} + 1:]) as stratum)
from matched
left join rarest on category = stratum[{place}]
