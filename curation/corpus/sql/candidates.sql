-- One row per trace with everything a mix may filter on; candidates.py fills in the expressions per pattern and annotator.
create view candidates as
select
    t.* exclude (kind), coalesce(t.kind, p.kind) as kind, p.category, p.attack, p.reference_answer,
    {labels}, {risky} as risky,
    pv.verdict, pv.verdict = 'keep' as keep, pv.verdict = 'repair' as repair, pv.verdict = 'drop' as "drop", pv.verdict = 'unsure' as unsure,
    r.duplicate, r.response_duplicate, q.prompt_duplicate, coalesce(q.family, t.prompt_id) as prompt_family,
    list_sort(list_distinct(list_concat(cp.benchmarks, ct.benchmarks))) as benchmarks,
    cp.id is not null or ct.id is not null as contaminated, i.influence
    {annotators},
    {others} as by_annotator
from traces t
left join prompts p using (prompt_id)
left join ({grouped}) o using (trace_id)
{other_annotators}
left join trace_influences i using (trace_id)
left join people_verdicts pv using (trace_id)
left join response_clusters r using (trace_id)
left join prompt_clusters q using (prompt_id)
left join (select id, list(distinct benchmark) as benchmarks from contamination where field in ('prompt', 'turns') group by id) cp on cp.id = t.prompt_id
left join (select id, list(distinct benchmark) as benchmarks from contamination where field not in ('prompt', 'turns') group by id) ct on ct.id = t.trace_id
