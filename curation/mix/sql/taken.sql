(select prompt_id, count(*) as traces from kept join traces using (trace_id) group by prompt_id)
