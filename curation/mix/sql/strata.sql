-- How many usable traces each stratum of a part has.
select stratum, count(*)
from matched
where obstacle is null
group by all
order by stratum
