-- What each person last said of each trace and pattern, beside what the machine annotators make of it.
select said.trace_id, said.pattern, said.name as reviewer, said.label, machine.label as suggested, said.score
from current_annotations said
left join verdicts_from(1) machine using (trace_id, pattern)
where said.rank = 0 and said.label is not null and said.pattern in {patterns}
order by said.trace_id, said.pattern, reviewer
