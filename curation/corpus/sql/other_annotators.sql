-- The labels of annotators that have no column of their own, by name; {taken}: the names that have one.
left join (
    select trace_id, map_from_entries(list((name, labels) order by name)) as by_annotator
    from (
        select trace_id, name, struct_pack({fields}) as labels
        from current_annotations
        where name not in ({taken})
        group by trace_id, name
    )
    group by trace_id
) x using (trace_id)
