-- What was found of each benchmark, by method and field.
select
    benchmark, method, field,
    count(distinct id) as texts,
    count(distinct benchmark_row) as benchmark_rows
from contamination
group by all
order by all
