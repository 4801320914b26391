-- Labels of traces and patterns with labels of two or more annotators; of many, a pseudo-random sample.
select trace_id, pattern, label, score
from current_annotations
semi join (
    select trace_id, pattern
    from current_annotations
    where label is not null and pattern in {patterns}
    group by trace_id, pattern
    having count(*) > 1
    qualify row_number() over (partition by pattern order by md5(trace_id)) <= {limit}
) using (trace_id, pattern)
where label is not null
order by all
