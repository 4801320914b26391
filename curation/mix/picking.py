"""Which traces go into a mix: every trace of the corpus gets exactly one fate, on narrow columns only.

A draw is `order by md5(trace_id || seed)`: it depends on neither file order nor threads, and a smaller `take` is a
subset of a larger one.
"""

from importlib.resources import files
from typing import Literal, NamedTuple

import pyarrow as pa

from curation.query import Connection, identifier, quoted, sql_file
from curation.store import Corpus
from curation.tokens import ESTIMATE, TokenCounter


class Pick(NamedTuple):
    """One part's wish."""

    part: str
    where: str
    take: int | float | Literal["all"]
    stratify_by: tuple[str, ...]
    max_tokens: int | None
    seed: int


class Tally(NamedTuple):
    """What became of the traces that matched one part."""

    matched: int
    """Traces for which `where` is true and that no earlier part took."""
    kept: int
    filtered: dict[str, int]
    """Matching traces that may not go in, by reason."""
    judged: bool
    """Whether the corpus has any annotation; without, conditions on patterns match nothing."""


def prepare(connection: Connection, counter: TokenCounter, corpus: Corpus) -> None:
    """Create `held_out` (benchmark prompts), `lengths` (tokens per trace) and the empty `decisions`."""
    connection.execute("create macro benchmark_key(text) as " + sql_file("benchmark_key.sql"))
    connection.register("known_benchmarks", _registry())
    connection.execute(
        """create temp table held_out as
        select prompt_id, min(benchmark) as benchmark
        from (select distinct prompt_id, prompt from traces)
        join known_benchmarks on key = benchmark_key(prompt)
        group by prompt_id"""
    )
    if counter.exact:
        connection.register("counted", _count_all(counter, corpus))
        connection.execute("create temp view lengths as select * from counted")
    else:
        connection.execute(f"create temp view lengths as select trace_id, {ESTIMATE} as tokens from traces")
    connection.execute("create temp table decisions (trace_id varchar, part varchar, state varchar)")


def pick(connection: Connection, wish: Pick) -> Tally:
    """Decide the fate of the traces that match one part; adds them to `decisions`."""
    stratum = ", ".join(f"{identifier(column)}::varchar" for column in wish.stratify_by)
    too_long = f"tokens > {wish.max_tokens}" if wish.max_tokens else "false"
    lengths = "join lengths using (trace_id)" if wish.max_tokens else ""
    connection.execute(
        f"""create or replace temp table matched as
        select trace_id, [{stratum}]::varchar as stratum, md5(trace_id || {quoted(str(wish.seed))}) as draw,
            case when benchmark is not null then 'benchmark ' || benchmark
                 when {too_long} then 'over max_tokens' end as obstacle
        from (select * from candidates where ({wish.where}\n))
        {lengths}
        left join held_out using (prompt_id)
        where trace_id not in (select trace_id from decisions where state = 'kept')"""
    )
    strata = dict(
        connection.execute(
            "select stratum, count(*) from matched where obstacle is null group by all order by stratum"
        ).fetchall()
    )
    quotas = pa.table(
        list(zip(*allot(strata, wish.take).items(), strict=True)) or [[], []], ["stratum", "quota"]
    )
    connection.register("quotas", quotas.cast(pa.schema([("stratum", pa.string()), ("quota", pa.int64())])))
    connection.execute(
        f"""insert into decisions
        select trace_id, {quoted(wish.part)}, case when obstacle is not null then obstacle
            when position <= quota then 'kept' else 'not drawn' end
        from (select *, row_number() over (partition by stratum, obstacle is null order by draw) as position from matched)
        left join quotas using (stratum)"""
    )
    return _tally(connection, wish.part)


def allot(strata: dict[str, int], take: int | float | str) -> dict[str, int]:
    """How many to take from each stratum: in proportion to its size, by largest remainder (ties by name)."""
    total = sum(strata.values())
    wanted = (
        total if take == "all" else round(take * total) if isinstance(take, float) else min(int(take), total)
    )
    if total == 0:
        return {}
    quotas = {name: wanted * size // total for name, size in strata.items()}
    by_remainder = sorted(strata, key=lambda name: (-(wanted * strata[name] % total), name))
    for name in by_remainder[: wanted - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def finish(connection: Connection, seed: int) -> None:
    """Create `chosen(trace_id, part, tokens, position)`: the mix in its final, shuffled order."""
    connection.execute(
        f"""create temp table chosen as
        select trace_id, part, tokens,
            row_number() over (order by md5({quoted(str(seed))} || trace_id || part)) as position
        from decisions join lengths using (trace_id) where state = 'kept'"""
    )


def _tally(connection: Connection, part: str) -> Tally:
    found = connection.execute(
        "select state, count(*) from decisions where part = ? group by all order by all", [part]
    ).fetchall()
    states = dict(found)
    kept, not_drawn = states.pop("kept", 0), states.pop("not drawn", 0)
    judged = connection.execute("select exists (select 1 from annotations)").fetchone() == (True,)
    return Tally(kept + not_drawn + sum(states.values()), kept, states, judged)


def _registry() -> pa.Table:
    import io

    from pyarrow import csv

    return csv.read_csv(io.BytesIO((files("curation") / "benchmarks.csv").read_bytes()))


def _count_all(counter: TokenCounter, corpus: Corpus) -> pa.Table:
    ids: list[str] = []
    tokens: list[int] = []
    for batch in corpus.scan("traces", ["trace_id", "prompt", "reasoning", "answer"]):
        ids += batch.column("trace_id").to_pylist()
        tokens += counter.count(batch)
    return pa.table({"trace_id": ids, "tokens": pa.array(tokens, pa.int32())})
