-- What people want done with a trace: of each person the latest submitted review of each codebook, and of these the latest with a
-- verdict; an adjudicator's word before all others, else the majority, and of a tie the most cautious.
create view people_verdicts as
with latest as (
    select *
    from reviews
    qualify row_number() over (partition by trace_id, reviewer, role, round order by updated_at desc) = 1
),
standing as (
    select *
    from latest
    where status = 'submitted'
    qualify row_number() over (partition by trace_id, reviewer, role, split_part(codebook, '@', 1) order by updated_at desc) = 1
),
wanted as (
    select *
    from standing
    where verdict is not null
    qualify row_number() over (partition by trace_id, reviewer, role order by updated_at desc) = 1
),
counted as (
    select
        trace_id,
        verdict,
        role is not distinct from 'adjudicator' as decided,
        count(*) as people,
        list_position(['keep', 'unsure', 'repair', 'drop'], verdict) as caution
    from wanted
    group by all
)
select trace_id, verdict
from counted
qualify row_number() over (partition by trace_id order by decided desc, people desc, caution desc) = 1
