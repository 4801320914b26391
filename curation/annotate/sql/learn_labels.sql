-- The labels that an annotator may learn from: of the labellers in $names ("people" is their majority; others without version) the first
-- one that labelled a trace counts.
select trace_id, pattern, label
from (
    select trace_id, pattern, label, name from current_annotations where rank > 0
    union all
    select trace_id, pattern, label, 'people' from ranked_verdicts(-1) where rank <= 0
)
where label is not null and list_contains($names, name)
qualify row_number() over (partition by trace_id, pattern order by list_position($names, name)) = 1
order by all
