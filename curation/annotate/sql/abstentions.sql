-- Why an annotator ($annotator, "name@version") abstained, by pattern: every verdict that it was asked for, so none whose rationale
-- begins as those of `$unasked` do (a list of prefixes).
select
    pattern,
    case when label is null then coalesce(left(rationale, 80), 'no reason given') end as why,
    count(*)::bigint as n
from annotations
where annotator = $annotator
    and not (label is null and len(list_filter($unasked, lambda prefix: contains(left(coalesce(rationale, ''), 60), prefix))) > 0)
group by pattern, why
order by pattern, n desc, why
