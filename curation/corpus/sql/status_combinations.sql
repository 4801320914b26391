-- Many traces were judged alike: by the same annotators, with the same labels, and scores on the same side of their thresholds
-- ({thresholds}). So each combination of judgements is decided once and counted over the traces that have it. `said` is what was said
-- in each, as annotations of one trace that stands for all of them.
create temp view judged as
select trace_id, annotator, pattern, label, score, score >= threshold as reached
from annotations
left join ({thresholds}) using (annotator, pattern);

create temp table judgements as
select row_number() over () as judgement, *
from (select annotator, pattern, label, reached, any_value(score) as score from judged group by all);

create temp table combinations as
select row_number() over () as combination, *
from (
    -- sorted only here: most traces list their judgements in the same order anyway
    select list_sort(judgements) as judgements, sum(traces)::bigint as traces
    from (
        select judgements, count(*) as traces
        from (
            select trace_id, list(judgement) as judgements
            from judged d
            join judgements j on
                j.annotator = d.annotator and j.pattern = d.pattern
                and j.label is not distinct from d.label and j.reached is not distinct from d.reached
            group by trace_id
        )
        group by judgements
    )
    group by list_sort(judgements)
);

create temp table said as
select combination::varchar as trace_id, traces, annotator, pattern, label, score
from (select combination, traces, unnest(judgements) as judgement from combinations)
join judgements using (judgement);
