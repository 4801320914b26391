-- Traces that meet a condition {where}, drawn by a hash of seed and id.
select trace_id
from candidates
where ({where}
)
order by md5($seed || trace_id), trace_id
limit $sample
