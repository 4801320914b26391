-- One row per trace, one label column per annotator and pattern; {only} restricts the traces.
create or replace temp table labels as
select trace_id {label_columns}
from current_annotations
{only}
group by trace_id
