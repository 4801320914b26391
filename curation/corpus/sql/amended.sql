-- A table with the last amendment of each field; {table}_as_written are its parts.
create view {table} as
select t.* replace ({fields})
from {table}_as_written t
left join (select id, {latest} from amendments where subject = {subject} group by id) a on a.id = t.{key}
