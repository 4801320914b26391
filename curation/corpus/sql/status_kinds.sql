-- Prompts of each kind.
select coalesce(kind, '(none)') as kind, count(*) as prompts
from prompts
group by all
order by all
