-- Of some prompts ($ids) the longest reasoning among the traces that {where}, a condition over `candidates`, is true of.
select prompt_id, arg_max(reasoning, (length(reasoning), trace_id)) as reasoning
from (
    select *
    from candidates
    where ({where}
    )
)
where list_contains($ids::varchar[], prompt_id) and trim(reasoning) <> ''
group by prompt_id
order by prompt_id
