-- The differences as amendments, each the next version of its field.
select subject, id, field, (coalesce(version, 0) + 1)::integer as version, value, previous, source_file, source_line
from differences
left join (select subject, id, field, max(version) as version from amendments group by all) using (subject, id, field)
order by subject, id, field
