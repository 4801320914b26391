-- One row per trace with what a page filters by. Sets are bit masks: {found} of the consensus; {patterns} and {annotators} and
-- {verdicts} name each member's bit.
select
    c.trace_id, c.prompt_id, c.kind, c.strategy, c.model, c.category, c.source,
    {found} as pattern,
    coalesce(a.annotator, 0) as annotator,
    coalesce(a.disputed, 0) as disputed,
    coalesce(v.verdict, 0) as verdict
from candidates c
left join (
    select
        trace_id,
        bit_or(if(label, coalesce(names.bit, 0), 0)) as annotator,
        bit_or(if(label, patterns.bit, 0)) & bit_or(if(not label, patterns.bit, 0)) as disputed
    from current_annotations
    join (values {patterns}) patterns(pattern, bit) using (pattern)
    left join (values {annotators}) names(name, bit) using (name)
    group by trace_id
) a using (trace_id)
left join (
    select trace_id, bit_or(verdicts.bit) as verdict
    from (
        select trace_id, reviewer, arg_max(struct_pack(status := status, verdict := verdict), updated_at) as last
        from reviews
        group by trace_id, reviewer
    )
    join (values {verdicts}) verdicts(verdict, bit) on verdicts.verdict = last.verdict
    where last.status = 'submitted'
    group by trace_id
) v using (trace_id)
