"""Why a condition matches nothing, or too little: the rows that pass each of its clauses, the values there are instead, and what to do.

The clauses are what `and` joins at the top of the condition, as DuckDB's own parser reads it.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from curation.corpus.bounds import bounded
from curation.corpus.filling import identifier, sql_file
from curation.corpus.query import Connection, known_entries, select
from curation.corpus.untrusted import Conjunct, conjuncts
from schemas.choices import meant
from schemas.patterns import CODEBOOK

VALUES = 5
"""Values of a column that are shown."""
LONGEST = 40
"""Characters of a value."""
GUARDS = ("unsafe", "unsafe_reasoning", "unsafe_answer", "harmful_prompt")
"""Columns that the rules do not fill."""
GUARD = (
    "`curate annotate --annotators guard:qwen3guard --model FOLDER`, or with the guard on a server: "
    "`curate annotate --annotators guard:wildguard --model NAME --base-url URL` (study-unfiltered asks no guard)"
)
FIXES = {
    **{entry.name: "`curate annotate --annotators rules`" for entry in CODEBOOK},
    "risky": "`curate annotate --annotators rules`",
    **dict.fromkeys(GUARDS, GUARD),
    **dict.fromkeys(("duplicate", "response_duplicate", "prompt_duplicate"), "`curate dedup`"),
    "influence": "`sft attribute RUN --corpus CORPUS`",
    "kind": "`curate ingest FILE --kind harmful --amend` (or benign, math, code)",
    "strategy": "`curate ingest FILE --set-field strategy=NAME --amend`, or make such traces: `curate generate --strategies NAME`",
    "model": "`curate ingest FILE --set-field model=NAME --amend`",
    "category": "`curate ingest FILE --map category=COLUMN --amend`",
}
"""What fills a column that is null, or has not the value."""


class Clause(NamedTuple):
    """A clause, and the rows that it lets through."""

    sql: str
    alone: int
    in_order: int
    """Together with the clauses before it."""
    unknown: int
    """Rows for which it is null: neither true nor false."""
    values: str
    """What its columns hold, if it lets nothing through; else empty."""
    fix: str
    """The command that would change that; empty if none is known."""


class Funnel(NamedTuple):
    """The rows of a table, and what each clause of a condition leaves of them."""

    rows: int
    clauses: list[Clause]

    @property
    def left(self) -> int:
        """Rows that meet the whole condition."""
        return self.clauses[-1].in_order if self.clauses else self.rows

    def lines(self) -> Iterator[str]:
        """The funnel for a person, indented, one clause a line."""
        yield f"  of {self.rows:,} rows pass, alone and in order:"
        for clause in self.clauses:
            values = f"; there are: {clause.values}" if clause.values else ""
            unknown = f"; null for {clause.unknown:,}" if clause.unknown and not values else ""
            yield f"  {clause.alone:10,} {clause.in_order:10,}  {clause.sql}{values}{unknown}"
        for fix in dict.fromkeys(clause.fix for clause in self.clauses if clause.fix):
            yield f"  to change that: {fix}"


def funnel(connection: Connection, condition: str, table: str = "candidates") -> Funnel:
    """Count the rows that pass each clause.

    Args:
        connection: of the corpus.
        condition: a condition that has passed `check_condition`.
        table: what it is a condition of; a name of ours.
    """
    parts = conjuncts(connection, condition)
    pieces = [
        f"count(*) filter ({part.sql}), count(*) filter ({' and '.join(f'({one.sql})' for one in parts[: n + 1])}), "
        f"count(*) filter (({part.sql}) is null)"
        for n, part in enumerate(parts)
    ]
    query = sql_file("curation.corpus", "funnel.sql", counts=", ".join(["count(*)", *pieces]), table=table)
    rows, *counts = (
        column[0].as_py() for column in bounded(connection, lambda: select(connection, query)).columns
    )
    types = {
        row["column_name"]: row["column_type"]
        for row in select(connection, f"select column_name, column_type from (describe {table})").to_pylist()
    }
    clauses, fixes = [], FIXES | _judged_by_codebooks(connection)
    for n, part in enumerate(parts):
        alone, in_order, unknown = counts[3 * n : 3 * n + 3]
        before = counts[3 * n - 2] if n else rows
        values, fix = "", ""
        if (rows and before and not in_order) or (rows and not alone):
            values = "; ".join(_values(connection, part, table, types))
            wanted = "did you mean" not in values  # a misspelled value is no reason to run anything
            fix = next((fixes[column] for column in part.columns if column in fixes and wanted), "")
        clauses.append(Clause(part.sql, alone, in_order, unknown, values, fix))
    return Funnel(rows, clauses)


def _judged_by_codebooks(connection: Connection) -> dict[str, str]:
    """What fills the columns of added codebooks."""
    return {
        column: f"`curate annotate --annotators {name.replace('-', ':', 1)}`"
        if name.startswith("structure-")
        else f"`curate annotate --annotators codebook:{name} --model MODEL`"
        for name, book in known_entries(connection).codebooks.items()
        for column in book.columns
    }


def _values(connection: Connection, part: Conjunct, table: str, types: dict[str, str]) -> Iterator[str]:
    """The most frequent values of each column of a clause, with their counts, and the one that was perhaps meant."""
    for column in part.columns:
        if types.get(column) not in ("VARCHAR", "BOOLEAN", "INTEGER", "BIGINT", "FLOAT", "DOUBLE"):
            continue
        query = sql_file("curation.corpus", "values.sql", column=identifier(column), table=table)
        found = bounded(connection, partial(select, connection, query, {"most": 1000})).to_pylist()
        known = [row["value"] for row in found if row["value"] is not None]
        shown = [row for row in found if row["value"] is None] + [
            row for row in found if row["value"] is not None
        ]
        is_text = types[column] == "VARCHAR"
        named = ", ".join(f"{_shown(row['value'], is_text)} {row['rows']:,}" for row in shown[: VALUES + 1])
        more = f" and {len(shown) - VALUES - 1:,} more" if len(shown) > VALUES + 1 else ""
        wanted = [text for text in part.texts if text not in known]
        near = meant(wanted[0], known) if wanted and is_text else ""
        yield f"{column}: {named}{more}{near}"


def _shown(value: str | None, is_text: bool) -> str:
    if value is None:
        return "null"
    short = value if len(value) <= LONGEST else f"{value[:LONGEST]}..."
    return f"'{short}'" if is_text else short
