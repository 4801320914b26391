-- One row per trace, one column per annotator and pattern; {only} may leave traces out.
create or replace temp table votes as
select trace_id {opinions}
from current_annotations
{only}
group by trace_id
