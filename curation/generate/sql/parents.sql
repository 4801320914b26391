-- The risky traces that a repair starts from, in the order of their files; {where} is the recipe's condition.
select {columns}
from candidates
where risky and parent_id is null and ({where}
)
order by source_file, source_line, trace_id
