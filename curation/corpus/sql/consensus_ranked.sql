-- The label of the highest rank that has one.
create macro consensus_from(highest) as table
select trace_id, pattern, label, score, provenance, rank from ranked_verdicts(highest);
