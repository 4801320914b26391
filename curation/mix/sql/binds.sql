-- No rows: whether the expressions of a recipe ({asked}) bind to some columns of `candidates` ({columns}).
select {asked}
from (select {columns}, ''::varchar as part, 0 as tokens from candidate_columns) candidates
limit 0
