-- The consensus, in which a reply is unsafe if its reasoning or its answer is, or an annotator of the whole reply says so; safe if
-- both fields are, or an annotator of the whole reply says so and none of the three is a tie. People who labelled the reply, or
-- both fields, have the last word. {union}: that rule, the same as in the view `candidates`.
create macro verdicts_from(highest) as table
select trace_id, pattern, label, score, provenance
from consensus_from(highest)
where pattern <> 'unsafe'
union all
select
    trace_id,
    'unsafe' as pattern,
    {union} as label,
    {score} as score,
    array_to_string(list_sort(list_distinct(string_split(concat_ws(',', {provenance}), ','))), ',') as provenance
from (
    select
        trace_id,
        {columns}
    from consensus_from(highest)
    where pattern in ('unsafe', 'unsafe_reasoning', 'unsafe_answer')
    group by trace_id
);
