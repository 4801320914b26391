-- Sets aside what goes beyond {cap} traces of one prompt; `taken` holds how many of each prompt are in the mix already.
update matched set obstacle = 'over per_prompt'
where trace_id in (
    select trace_id
    from (
        select trace_id, prompt_id, row_number() over (partition by prompt_id order by draw) as place
        from matched
        where obstacle is null
    )
    left join {taken} taken using (prompt_id)
    where place + coalesce(taken.traces, 0) > {cap}
)
