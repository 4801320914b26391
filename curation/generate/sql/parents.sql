-- The traces that a repair starts from, in the order of their files: those that people marked for repair, and risky ones unless people
-- want them kept as they are or dropped. {bad} says which are risky, {where} is the recipe's condition.
select {columns}
from candidates
where (repair or ({bad}) and verdict is distinct from 'keep' and verdict is distinct from 'drop') and parent_id is null and ({where}
)
order by source_file, source_line, trace_id
