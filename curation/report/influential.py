"""Which rows did it: the strongest rows of each behaviour of a trained model, as `sft attribute --corpus` left them, with their patterns."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from curation.corpus.filling import quoted, sql_file
from curation.corpus.query import Connection, select
from curation.masking import mask_words
from curation.report.overview import Share
from schemas.patterns import RISKY_PATTERNS

MOST = 20
"""Rows of each behaviour."""
TOP = 0.05
"""The share of a behaviour's rows whose patterns are counted."""
OPENING = 160
"""Code points of a prompt."""


class StrongRow(NamedTuple):
    """A row that did much for a behaviour."""

    rank: int
    influence: float
    row_id: str
    trace_id: str
    part: str
    strategy: str | None
    source: str | None
    patterns: list[str] | None
    """Risky patterns found in its trace; null if it was not judged on any."""
    prompt: str
    """The beginning; masked unless shown, and empty where the trace is gone."""


class PatternAmong(NamedTuple):
    """How often a risky pattern is found among the strongest rows, and among all."""

    pattern: str
    top: Share
    all: Share


class Attributed(NamedTuple):
    """A behaviour and what was found of it."""

    behaviour: str
    model: str
    method: str
    rows: int
    """All that were ranked."""
    strongest: list[StrongRow]
    patterns: list[PatternAmong]


def attributed(connection: Connection, show: bool = False) -> list[Attributed]:
    """The behaviours whose influences are in force, by name; none where nothing was attributed.

    Args:
        connection: to the corpus.
        show: give prompts unmasked.
    """
    if not select(connection, "select 1 from influences limit 1").num_rows:
        return []
    patterns = "(" + ", ".join(map(quoted, RISKY_PATTERNS)) + ")"
    rows = _rows(connection, "influential.sql", most=str(MOST), patterns=patterns)
    among = _rows(connection, "influential_patterns.sql", top=str(TOP), patterns=patterns)
    return [
        _attributed(list(lines), [one for one in among if one["behaviour"] == behaviour], show)
        for behaviour, lines in groupby(rows, itemgetter("behaviour"))
    ]


def _attributed(lines: Sequence[dict[str, Any]], among: Sequence[dict[str, Any]], show: bool) -> Attributed:
    first = lines[0]
    found = [
        PatternAmong(one["pattern"], Share(one["top_k"], one["top_n"]), Share(one["k"], one["n"]))
        for one in among
    ]
    return Attributed(
        first["behaviour"],
        first["model"],
        first["method"],
        first["rows"],
        [_row(line, show) for line in lines],
        found,
    )


def _row(line: dict[str, Any], show: bool) -> StrongRow:
    prompt = (line["prompt"] or "")[:OPENING]
    told = {name: line[name] for name in StrongRow._fields if name != "prompt"}
    return StrongRow(**told, prompt=prompt if show else mask_words(prompt))


def _rows(connection: Connection, file: str, **filled: str) -> list[dict[str, Any]]:
    return list(select(connection, sql_file("curation.report", file, **filled)).to_pylist())
