-- No rows: whether the expressions of a recipe ({asked}) bind to the narrow columns.
select {asked}
from (select *, ''::varchar as part, 0 as tokens from narrow)
limit 0
