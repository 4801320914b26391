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
    connection.register("known_benchmarks", _registry())
    key = sql_file("benchmark_key.sql", text="prompt")
    connection.execute(sql_file("mix_held_out.sql", benchmark_key=key))
    if counter.exact:
        connection.register("counted", _count_all(counter, corpus))
        connection.execute("create temp view lengths as select * from counted")
    else:
        connection.execute(f"create temp view lengths as select trace_id, {ESTIMATE} as tokens from traces")
    connection.execute("create temp table decisions (trace_id varchar, part varchar, state varchar)")


def pick(connection: Connection, wish: Pick) -> Tally:
    """Decide the fate of the traces that match one part; adds them to `decisions`."""
    columns = ", ".join(f"{identifier(column)}::varchar" for column in wish.stratify_by)
    match = sql_file(
        "mix_match.sql",
        stratum=columns,
        seed=quoted(str(wish.seed)),
        too_long=f"tokens > {wish.max_tokens}" if wish.max_tokens else "false",
        lengths="join lengths using (trace_id)" if wish.max_tokens else "",
        where=wish.where,
    )
    connection.execute(match)
    strata = connection.execute(
        "select stratum, count(*) from matched where obstacle is null group by all order by stratum"
    ).fetchall()
    quotas = allot(dict(strata), wish.take)
    schema = pa.schema([("stratum", pa.string()), ("quota", pa.int64())])
    connection.register("quotas", pa.table([list(quotas), list(quotas.values())], schema=schema))
    connection.execute(sql_file("mix_decide.sql", part=quoted(wish.part)))
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
    connection.execute(sql_file("mix_order.sql", seed=quoted(str(seed))))


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
