-- Verdicts on each pattern.
select
    pattern,
    count_if(label) as present,
    count_if(not label) as absent,
    count_if(label is null) as abstained
from verdicts
group by all
order by all
