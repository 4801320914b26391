-- The review queue: what a person should look at next, best first.
-- $by says which come first: "disagreement" annotators that contradict each other (the more patterns the better), then verdicts with a
-- score near 0.5; "uncertainty" the scores nearest to 0.5; "diversity" one of each prompt family, kind of prompt and model in turn.
-- A random audit share of everything else shows what all annotators miss. Traces that a person has judged are left out,
-- unless $again.
with judged as (
    select
        trace_id,
        pattern,
        bool_or(label) and not bool_and(label) as disputed
    from current_annotations
    where rank > 0 and pattern in {patterns}
    group by trace_id, pattern
),
margins as (
    select trace_id, min(abs(score - 0.5)) as margin
    from verdicts_from(1)
    where pattern in {patterns}
    group by trace_id
),
waiting as (
    select
        candidates.trace_id,
        coalesce(disputes, 0) as disputes,
        margin,
        md5($seed || candidates.trace_id) as dice,
        row_number() over (partition by prompt_family order by dice) as in_family,
        row_number() over (partition by kind, category, source, model, strategy order by dice) as in_kind
    from candidates
    left join (select trace_id, count_if(disputed) as disputes from judged group by trace_id) using (trace_id)
    left join margins using (trace_id)
    anti join (select distinct trace_id from current_annotations where rank <= 0 and label is not null and pattern in {patterns} and not $again) done using (trace_id)
    where ({condition}
    )
),
worth as (
    select
        trace_id,
        case
            when $by = 'diversity' then 'diversity'
            when $by = 'disagreement' and disputes > 0 then 'disagreement'
            else 'low margin'
        end as reason
    from waiting
    where $by = 'diversity' or margin < $margin or ($by = 'disagreement' and disputes > 0)
    order by
        if($by = 'disagreement', disputes, 0) desc,
        if($by = 'diversity', in_family, 0),
        if($by = 'diversity', in_kind, 0),
        if($by = 'diversity', null, margin) nulls last,
        dice
    limit $traces - $audit
),
chosen as (
    select trace_id, reason, row_number() over () as place from worth
    union all
    select trace_id, 'audit', 1000000000 + row_number() over (order by dice)
    from waiting anti join worth using (trace_id)
)
select trace_id, reason from chosen order by place limit $traces
