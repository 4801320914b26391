-- What each strategy yields: how many traces, how many judged, free of risky patterns, refusing; and how long they think.
select
    coalesce(strategy, '(none)') as strategy,
    coalesce(kind, '(none)') as kind,
    count(*) as traces,
    count(risky) as judged,
    count_if(not risky)::bigint as clean,
    count(answer_refusal) as refusal_judged,
    count_if(answer_refusal)::bigint as refused,
    quantile_disc(coalesce(reasoning_tokens, (strlen(reasoning) + 3) // 4)::int, [0.1, 0.5, 0.9]) as reasoning_tokens,
    quantile_disc(coalesce(answer_tokens, (strlen(answer) + 3) // 4)::int, [0.1, 0.5, 0.9]) as answer_tokens
from candidates
group by all
order by all
