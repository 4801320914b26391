-- As label_combinations.sql, for corpora of so many annotators that a column for each is too much; {only} restricts the traces,
-- and a tie of the people is null; adjudicators outrank them.
select pattern, labels, people, count(*) as traces
from (
    select
        trace_id,
        pattern,
        list({'name': name, 'label': label} order by name) as labels,
        nullif(sign(if(
            count_if(rank < 0) > 0,
            2 * count_if(label and rank < 0) - count_if(rank < 0),
            2 * count_if(label and rank = 0) - count_if(rank = 0)
        )), 0) > 0 as people
    from (
        select trace_id, pattern, name, any_value(rank) as rank, bool_or(label) as label
        from current_annotations
        {only}
        group by trace_id, pattern, name
    )
    where label is not null
    group by trace_id, pattern
)
group by all
order by all
