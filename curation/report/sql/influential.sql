-- The strongest rows of each behaviour whose influences are in force, {most} of each, with the risky patterns found in their traces; null: not judged.
select
    i.behaviour, i.model, i.method, i."rank", i.rows, i.row_id, i.trace_id, i.part, i.influence, t.strategy, t.source, t.prompt,
    v.patterns
from (
    select *, count(*) over (partition by behaviour) as rows
    from current_influences
    qualify "rank" <= {most}
) i
left join traces t using (trace_id)
left join (
    select trace_id, coalesce(list(pattern order by pattern) filter (label), []) as patterns
    from verdicts
    where pattern in {patterns} and label is not null
    group by trace_id
) v using (trace_id)
order by i.behaviour, i."rank"
