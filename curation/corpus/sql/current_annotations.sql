-- One consensus label per trace and pattern, from all annotators.
-- Adjudicators outrank people, people outrank judges, guards and the labels of published data sets, those outrank trained models, those
-- outrank rules; within the highest rank that has a label the majority wins and a tie stays null. Only the latest version of a machine annotator counts, and of each
-- person the latest review of a trace (human:alice@2 replaces the first review after an edit).
-- If `curate calibrate` has set a threshold for an annotator's scores, the score decides its label. {lowest} is the
-- last separate rank: 3 for `ranked`, 1 if all annotators except people are equal. Annotators for which {counted} is false do not count.
-- Who annotated is counted once, into tables: planning and running every view over them is then much cheaper.
create temp table annotation_counts as
select annotator, pattern, count(*) as annotations from annotations group by all;

create temp table latest_annotators as
select annotator, name, rank
from (
    select
        annotator,
        split_part(annotator, '@', 1) as name,
        least({lowest}, case split_part(name, ':', 1)
            when 'adjudicator' then -1
            when 'human' then 0
            when 'judge' then 1
            when 'cascade' then 1
            when 'guard' then 1
            when 'published' then 1
            when 'rules' then 3
            when 'overrefusal' then 3
            else 2
        end) as rank,
        row_number() over (
            partition by name
            order by try_cast(split_part(annotator, '@', 2) as double) desc nulls last, annotator desc
        ) as age
    from (select distinct annotator from annotation_counts where {counted})
)
where age = 1;

create view current_annotations as
select trace_id, pattern, name, annotator, rank, {calibrated} as label, score, spans
from annotations
join latest_annotators using (annotator)
{thresholds}
where rank > 0
union all
select trace_id, pattern, people.name, annotations.annotator, people.rank, label, score, spans
from annotations
join (select name, rank from latest_annotators where rank <= 0) people on split_part(annotations.annotator, '@', 1) = people.name
qualify row_number() over (
    partition by trace_id, pattern, people.name
    order by try_cast(split_part(annotations.annotator, '@', 2) as double) desc nulls last, annotations.annotator desc
) = 1;
