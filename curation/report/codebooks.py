"""What a corpus says of the entries of its codebooks, for the report: rates, levels, agreement, and where in the reasoning."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from annotators.statistics.agreement import Agreement, agreement, by_unit
from curation.corpus.filling import quoted, sql_file
from curation.corpus.query import Connection, known_entries, select
from schemas.codebooks import Codebook, Pattern

BINS = 20
"""Pieces of the reasoning in a drift curve, as in sql/drift.sql."""


class EntryReport(NamedTuple):
    """One entry in a corpus."""

    entry: Pattern
    k: int
    """Traces in which it is present."""
    n: int
    """Traces that are judged."""
    levels: dict[str, int]
    """Traces at each level, of an entry with levels."""
    agreement: Agreement
    first: float | None
    """Median place of the first evidence, as a share of the reasoning; null without any."""
    share: float | None
    """Median share of the reasoning that is evidence, of the traces that have some."""
    drift: list[float]
    """Of the judged traces the share with evidence in each twentieth of the reasoning; empty without any."""


def codebook_reports(connection: Connection, units: int) -> list[tuple[Codebook, list[EntryReport]]]:
    """Every codebook that was added to the corpus, with its entries.

    Args:
        connection: of the corpus.
        units: traces per entry for the agreement, at most.
    """
    known = known_entries(connection)
    return [(book, _entries(connection, book, units)) for book in known.codebooks.values()]


def _entries(connection: Connection, book: Codebook, units: int) -> list[EntryReport]:
    patterns = "(" + ", ".join(map(quoted, book.entries)) + ")"
    rates = _by_pattern(connection, sql_file("curation.report", "entries.sql", patterns=patterns))
    drift: dict[str, dict[int, int]] = {}
    for row in select(connection, sql_file("curation.report", "drift.sql", patterns=patterns)).to_pylist():
        drift.setdefault(row["pattern"], {})[row["bin"]] = row["traces"]
    said = select(
        connection, sql_file("curation.report", "agreement.sql", patterns=patterns, limit=str(units))
    ).to_pylist()
    found = []
    for name, entry in book.entries.items():
        rate = rates.get(name, {})
        n = rate.get("n") or 0
        mine = [row for row in said if row["pattern"] == name]
        value = "score" if entry.graded else "label"
        agreed = agreement(
            by_unit((row["trace_id"], row[value]) for row in mine if row[value] is not None),
            ordered=entry.graded,
        )
        curve = [drift[name].get(at, 0) / n for at in range(BINS)] if n and name in drift else []
        found.append(
            EntryReport(
                entry, rate.get("k") or 0, n, _levels(entry, rate), agreed, rate.get("first"), rate.get("share"), curve
            )
        )  # fmt: skip
    return found


def _levels(entry: Pattern, rate: Mapping[str, Any]) -> dict[str, int]:
    counted = dict.fromkeys(entry.levels, 0)
    for row in (rate.get("scores") or ()) if entry.levels else ():
        counted[entry.levels[round(row["score"] * entry.highest)]] += row["traces"]
    return counted


def _by_pattern(connection: Connection, query: str) -> dict[str, dict[str, Any]]:
    return {row["pattern"]: row for row in select(connection, query).to_pylist()}
