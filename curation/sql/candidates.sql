-- One row per trace with everything a mix may filter on; query.py fills in the expressions per pattern and annotator.
create view candidates as
select
    t.* exclude (kind), coalesce(t.kind, p.kind) as kind, p.category, p.attack, p.reference_answer,
    v.* exclude (trace_id), ({risky}) as risky, a.* exclude (trace_id)
from traces t
left join prompts p using (prompt_id)
left join (select trace_id, {labels} from verdicts group by trace_id) v using (trace_id)
left join (select trace_id {annotators} from current_annotations group by trace_id) a using (trace_id)
