-- What each annotator has judged.
select
    annotator,
    sum(traces)::bigint as traces,
    sum(traces * present)::bigint as present,
    sum(traces * abstained)::bigint as abstained
from (
    select trace_id, traces, annotator, count_if(label) as present, count_if(label is null) as abstained
    from said
    group by trace_id, traces, annotator
)
group by annotator
order by annotator
