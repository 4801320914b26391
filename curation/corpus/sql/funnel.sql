-- How many rows there are, and for each clause of a condition: how many pass it, pass it and those before, and are null.
select {counts}
from {table}
