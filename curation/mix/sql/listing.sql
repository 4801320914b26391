-- The traces that one part asks for, in the order of the draw, as a query of its own: `curate plan --sql` prints it.
select trace_id, {stratum}{draw} as draw
from candidates
where ({where}
)
order by draw
