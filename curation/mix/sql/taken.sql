(select prompt_id, count(*) as traces from decisions join traces using (trace_id) where state = 'kept' group by prompt_id)
