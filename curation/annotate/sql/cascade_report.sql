-- What a cascade ($annotator) asked, and how its audit sample came out; rationales begin with how each label was decided.
select
    pattern,
    count(*) as traces,
    count_if(rationale not like 'not asked:%') as asked,
    count_if(rationale like 'audit: %') as audited,
    count_if(rationale like 'audit: other%') as other
from annotations
where annotator = $annotator
group by pattern
order by pattern
