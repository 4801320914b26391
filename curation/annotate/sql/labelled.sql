-- How many traces have one of these patterns by the consensus.
select count(distinct trace_id) as traces from verdicts where label and list_contains($patterns, pattern)
