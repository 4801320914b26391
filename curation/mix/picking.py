"""Selects the traces of a mix: every trace of the corpus gets exactly one state, on narrow columns only.

Sampling is `order by md5(trace_id || seed)`: it depends on neither file order nor threads, and a smaller `take` is a
subset of a larger one.
"""

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from curation.corpus.bounds import bounded
from curation.corpus.filling import identifier, quoted, sql_file
from curation.corpus.query import Connection, execute
from curation.corpus.store import Store
from curation.mix import narrow
from curation.mix.quotas import Allotment, allot
from curation.mix.recipe import MixRecipe, Part
from curation.mix.tokens import READ, TokenCounter

MILLION = 1_000_000
CATEGORY = "category"
"""The column that may hold several labels."""


class PartTally(NamedTuple):
    """Counts of the traces that matched one part."""

    matched: int
    """Traces for which `where` is true and that no earlier part took."""
    kept: int
    """Rows it gives the mix; more than the traces behind them where it repeats some."""
    filtered: dict[str, int]
    """Matching traces that are excluded, by reason."""
    judged: bool
    """Whether the corpus has any annotation; without, conditions on patterns match nothing."""
    traces: int
    """Different traces among the rows."""
    shortages: list[str]
    """Strata that cannot fill their quota."""
    strata: dict[str, dict[str, int]]
    """Usable traces and rows taken of each stratum, where the part has strata."""


def prepare(connection: Connection, recipe: MixRecipe, corpus: Store) -> None:
    """Create `lengths` (tokens per trace) and the empty `decisions` and, of them, `kept`; `candidates` becomes narrow (`curation.mix.narrow`)."""
    narrow.prepare(connection, corpus, _expressions(recipe), families=bool(recipe.validation))
    counter = TokenCounter(recipe.tokenizer)
    if counter.exact:
        connection.register("counted", _count_all(counter, corpus))
        connection.execute("create temp view lengths as select * from counted")
    else:
        connection.execute(
            "create temp view lengths as select trace_id, estimated_tokens as tokens from narrow"
        )
    columns = "(trace_id varchar, part varchar, state varchar, copies bigint)"
    for name in ("decisions", "kept"):
        connection.execute(f"create temp table {name} {columns}")
    connection.execute("create temp table judged as select exists (from annotations) as judged")


def listing_sql(part: Part, recipe: MixRecipe) -> str:
    """A query of `curate sql` for the traces that a part matches, in the order in which they are drawn."""
    return sql_file(
        "curation.mix",
        "listing.sql",
        stratum="".join(f"{identifier(column)}, " for column in part.strata),
        draw=_draw(part, recipe),
        where=part.where,
    )


def _draw(part: Part, recipe: MixRecipe) -> str:
    seed = quoted(str(recipe.seed))
    by_trace = f"md5(trace_id || {seed})"
    return by_trace if part.draw_by == "trace" else f"md5(prompt_id || {seed}) || {by_trace}"


def match_sql(part: Part, recipe: MixRecipe) -> str:
    """The statement that finds the traces of a part."""
    longest = part.max_tokens or recipe.max_tokens
    return sql_file(
        "curation.mix",
        "match.sql",
        stratum=", ".join(f"{identifier(column)}::varchar" for column in part.strata),
        draw=_draw(part, recipe),
        too_long=f"tokens > {longest}" if longest else "false",
        lengths="join lengths using (trace_id)" if longest else "",
        where=part.where,
        allowed=", ".join(map(quoted, recipe.allow_benchmarks)),
    )


def _expressions(recipe: MixRecipe) -> list[str]:
    """Everything the recipe asks of `candidates`."""
    expressions = list(recipe.order_by)
    for part in recipe.parts.values():
        expressions += [part.where, *map(identifier, part.strata)]
    return expressions


def pick(connection: Connection, name: str, recipe: MixRecipe) -> PartTally:
    """Decide the fate of the traces that match one part; adds them to `decisions` and `kept`."""
    part = recipe.parts[name]
    bounded(connection, lambda: execute(connection, match_sql(part, recipe)))
    if CATEGORY in part.strata:
        place = str(part.strata.index(CATEGORY) + 1)
        connection.execute(sql_file("curation.mix", "labels.sql", place=place))
    if part.per_prompt:
        nothing = "(select null::varchar as prompt_id, 0 as traces)"
        connection.execute(sql_file("curation.mix", "cap.sql", cap=str(part.per_prompt), taken=nothing))
    if recipe.per_prompt:
        taken = sql_file("curation.mix", "taken.sql")
        connection.execute(sql_file("curation.mix", "cap.sql", cap=str(recipe.per_prompt), taken=taken))
    rows = connection.execute(sql_file("curation.mix", "strata.sql")).fetchall()
    sizes = {tuple(stratum): size for stratum, size in rows}
    allotment = allot(sizes, part)
    _register_quotas(connection, sizes, allotment)
    connection.execute(sql_file("curation.mix", "decide.sql", part=quoted(name)))
    strata = {
        " / ".join(value or "null" for value in cell): {"traces": size, "rows": allotment.quotas.get(cell, 0)}
        for cell, size in (sizes.items() if part.strata else ())
    }
    return _tally(connection, allotment.shortages, strata)


def finish(connection: Connection, recipe: MixRecipe) -> None:
    """Create `chosen(trace_id, part, copy, tokens, split, position)`: the mix in its final order."""
    bounded(connection, lambda: execute(connection, order_sql(recipe)))


def written(connection: Connection, tallies: Mapping[str, PartTally]) -> dict[str, PartTally]:
    """The tallies with the rows that the mix has in the end, in both splits: repeats are for training only."""
    rows = dict(connection.execute(sql_file("curation.mix", "written.sql")).fetchall())
    return {name: tally._replace(kept=rows.get(name, 0)) for name, tally in tallies.items()}


def order_sql(recipe: MixRecipe) -> str:
    """The statement that puts the mix in order and splits it."""
    seed = quoted(str(recipe.seed))
    share = str(round((recipe.validation or 0) * MILLION))
    needs_candidates = recipe.order_by or recipe.validation
    return sql_file(
        "curation.mix",
        "order.sql",
        parts=", ".join(quoted(name) for name in recipe.parts),
        split=sql_file("curation.mix", "family.sql", seed=seed, share=share)
        if recipe.validation
        else "'train'",
        order="".join(f"({expression}\n), " for expression in recipe.order_by),
        seed=seed,
        candidates="join candidates using (trace_id)" if needs_candidates else "",
    )


def _register_quotas(
    connection: Connection, sizes: dict[tuple[str | None, ...], int], allotment: Allotment
) -> None:
    schema = pa.schema([("stratum", pa.list_(pa.string())), ("size", pa.int64()), ("quota", pa.int64())])
    rows = [
        {"stratum": list(cell), "size": size, "quota": allotment.quotas.get(cell, 0)}
        for cell, size in sizes.items()
    ]
    connection.register("quotas", pa.Table.from_pylist(rows, schema))


def _tally(connection: Connection, shortages: list[str], strata: dict[str, dict[str, int]]) -> PartTally:
    rows_by_state = connection.execute(sql_file("curation.mix", "part_states.sql")).fetchall()
    traces = {state: n for state, n, _ in rows_by_state}
    rows = {state: copies for state, _, copies in rows_by_state}
    filtered = {state: n for state, n in traces.items() if state not in ("kept", "not drawn")}
    judged = connection.execute("from judged").fetchone() == (True,)
    kept = rows.get("kept", 0)
    return PartTally(sum(traces.values()), kept, filtered, judged, traces.get("kept", 0), shortages, strata)


def _count_all(counter: TokenCounter, corpus: Store) -> pa.Table:
    ids: list[str] = []
    tokens: list[int] = []
    for batch in corpus.scan("traces", ["trace_id", *READ]):
        ids += batch.column("trace_id").to_pylist()
        tokens += counter.count(batch)
    return pa.table({"trace_id": ids, "tokens": pa.array(tokens, pa.int32())})
