-- The label of the highest rank that has one.
create macro verdicts_from(highest) as table
select trace_id, pattern, label, score, provenance from ranked_verdicts(highest);
