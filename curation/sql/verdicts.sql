-- One verdict per trace and pattern, from every annotator that spoke.
-- People outrank judges and guards, those outrank trained models, those outrank rules; within the highest rank that has
-- an opinion the majority wins and a tie stays null. Only the latest version of a machine annotator counts.
create view latest_annotators as
select annotator, rank
from (
    select
        annotator,
        case split_part(split_part(annotator, '@', 1), ':', 1)
            when 'human' then 0
            when 'judge' then 1
            when 'guard' then 1
            when 'rules' then 3
            else 2
        end as rank,
        row_number() over (
            partition by case when annotator like 'human:%' then annotator else split_part(annotator, '@', 1) end
            order by try_cast(split_part(annotator, '@', 2) as double) desc nulls last, annotator desc
        ) as age
    from (select distinct annotator from annotations)
)
where age = 1;

create view verdicts as
select trace_id, pattern, best.label, best.score, best.provenance
from (
    select
        trace_id,
        pattern,
        -- packed in a struct, since arg_min of a bare column passes over nulls
        arg_min({'label': label, 'score': score, 'provenance': provenance}, rank) as best
    from (
        select
            trace_id,
            pattern,
            case when label is null then 9 else rank end as rank,  -- an abstention ranks behind every opinion
            case
                when count(label) = 0 or 2 * count_if(label) = count(label) then null
                else 2 * count_if(label) > count(label)
            end as label,
            avg(coalesce(score, label::int))::float as score,
            string_agg(annotator, ',' order by annotator) as provenance
        from annotations
        join latest_annotators using (annotator)
        group by trace_id, pattern, case when label is null then 9 else rank end
    )
    group by trace_id, pattern
);
