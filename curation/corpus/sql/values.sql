-- The values of a column, most frequent first.
select {column}::varchar as value, count(*) as rows
from {table}
group by all
order by rows desc, value
limit $most
