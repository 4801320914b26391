-- People first; then the posterior of all annotators with a known reliability ({weights}: name, pattern, the pattern's prior
-- and what a "true" and a "false" add to it, in log odds). Where none of these spoke, the highest rank that did.
create macro consensus_from(highest) as table
select
    trace_id,
    pattern,
    case when odds is null or rank <= 0 then label else nullif(sign(odds), 0) > 0 end as label,
    case when odds is null or rank <= 0 then score else 1 / (1 + exp(-odds)) end::float as score,
    case when odds is null or rank <= 0 then provenance else witnesses end as provenance,
    rank
from ranked_verdicts(highest)
left join (
    select
        trace_id,
        pattern,
        any_value(prior) + sum(if(label, if_true, if_false)) as odds,
        string_agg(annotator, ',' order by annotator) as witnesses
    from consensus_annotations
    join (values {weights}) as weights(name, pattern, prior, if_true, if_false) using (name, pattern)
    where rank > 0 and label is not null
    group by trace_id, pattern
) weighed using (trace_id, pattern);
