-- The labels that the consensus is made of: as they are, except `unsafe`. What an annotator of one field says of the whole reply is
-- read as a label of that field ({single}: name and field of these), and what one says that also judged the fields counts there.
-- A person's label stands.
create view consensus_annotations as
select trace_id, pattern, name, annotator, rank, label, score
from current_annotations
where pattern <> 'unsafe'
union all
select
    trace_id, coalesce('unsafe_' || field, 'unsafe') as pattern, name, annotator, rank,
    if(rank > 0 and field is null and label and told.labelled, null, label) as label, score
from current_annotations
left join (values {single}) single(name, field) using (name)
left join (
    select trace_id, name, bool_or(label is not null) as labelled
    from current_annotations
    where pattern in ('unsafe_reasoning', 'unsafe_answer')
    group by trace_id, name
) told using (trace_id, name)
where pattern = 'unsafe' and (field is null or told.labelled is null);

-- The consensus of the annotators of this rank and below: -1 is everybody, 1 leaves people out.
create macro ranked_verdicts(highest) as table
select
    trace_id,
    pattern,
    -- packed in structs, since arg_min of a bare column skips nulls; one each, so that what a query does not ask for is not made
    arg_min({'is': label}, rank)['is'] as label,
    arg_min({'is': score}, rank)['is'] as score,
    arg_min({'is': provenance}, rank)['is'] as provenance,
    min(rank) as rank
from (
    select
        trace_id,
        pattern,
        case when label is null then 9 else rank end as rank,  -- an abstention ranks behind every label
        case
            when count(label) = 0 or 2 * count_if(label) = count(label) then null
            else 2 * count_if(label) > count(label)
        end as label,
        avg(coalesce(score, label::int))::float as score,
        array_to_string(list_sort(list(annotator)), ',') as provenance  -- string_agg in order takes five times as long
    from consensus_annotations
    where rank >= highest
    group by trace_id, pattern, case when label is null then 9 else rank end
)
group by trace_id, pattern;
