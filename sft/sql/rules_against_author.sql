-- The rules' verdict against the author's, where there are both.
select
    author.pattern,
    count_if(author.label and rules.label) as hits,
    count_if(not author.label and rules.label) as false_alarms,
    count_if(author.label and not rules.label) as misses,
    count_if(not author.label and not rules.label) as rejections,
    count_if(rules.label is null) as abstained
from annotations author
join annotations rules using (trace_id, pattern)
where author.annotator = 'human:author' and rules.annotator like 'rules@%' and author.label is not null
group by all
order by all
