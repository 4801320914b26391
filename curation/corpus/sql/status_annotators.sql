-- What each annotator has judged.
select
    annotator,
    count(distinct trace_id) as traces,
    count_if(label) as present,
    count_if(label is null) as abstained
from annotations
group by all
order by all
