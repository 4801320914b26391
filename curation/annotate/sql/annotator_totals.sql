-- How often an annotator ($annotator, "name@version") found each pattern.
select
    pattern,
    count_if(label)::bigint as "true",
    count_if(not label)::bigint as "false",
    count_if(label is null)::bigint as abstained
from annotations
where annotator = $annotator
group by pattern
order by pattern
