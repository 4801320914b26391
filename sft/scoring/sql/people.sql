-- Labels of people beside those of the machines, of some patterns ($patterns) of some replies ($ids).
select trace_id, people.pattern, people.label as people, machine.label as machine
from ranked_verdicts(-1) people
join verdicts_from(1) machine using (trace_id, pattern)
semi join (select unnest($ids::varchar[]) as trace_id) using (trace_id)
where people.rank <= 0 and people.label is not null and machine.label is not null and list_contains($patterns, people.pattern)
