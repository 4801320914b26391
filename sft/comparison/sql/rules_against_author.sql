-- The rules' verdict against the author's, where there are both.
select
    author.pattern,
    count_if(author.label and rules.label)::bigint as hits,
    count_if(not author.label and rules.label)::bigint as false_alarms,
    count_if(author.label and not rules.label)::bigint as misses,
    count_if(not author.label and not rules.label)::bigint as rejections,
    count_if(rules.label is null)::bigint as abstained
from annotations author
join annotations rules using (trace_id, pattern)
where author.annotator like 'author@%' and rules.annotator like 'rules@%' and author.label is not null
group by all
order by all
