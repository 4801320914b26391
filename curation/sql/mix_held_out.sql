-- Prompts that are evaluation prompts of a known benchmark: no trace of theirs may enter a mix.
create temp table held_out as
select prompt_id, min(benchmark) as benchmark
from (select distinct prompt_id, prompt from traces)
join known_benchmarks on key = {benchmark_key}
group by prompt_id
