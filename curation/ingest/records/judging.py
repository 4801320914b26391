"""What a published data set says of the traces that it brings: how its rows make traces, and its terms our entries.

The surprise: an entry that no row names is absent only if the whole trace was looked at; else nothing is said of it, since a row that
was set aside may have named it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from annotators.mapping import Terms
from curation.ingest.containers.rows import RawRow
from schemas.annotation import Span
from schemas.response import Fault


class JudgedGroup(NamedTuple):
    """The rows of one trace."""

    row: Mapping[str, Any] | None
    """The trace's columns, as its format reads them; null if there is none, and then every row has a fault."""
    rows: tuple[RawRow, ...]
    faults: Mapping[int, Fault] = {}
    """What is wrong with a row before its trace is read, by line."""


class TermVerdict(NamedTuple):
    """What a data set says of one entry."""

    label: bool
    score: float | None = None
    spans: tuple[Span, ...] = ()
    rationale: str | None = None


class JudgedReading(NamedTuple):
    """What a group of rows says of its trace."""

    verdicts: Mapping[str, TermVerdict]
    """By entry."""
    faults: Mapping[int, Fault] = {}
    """Rows whose judgement could not be read, by line; the trace is kept."""
    unmapped: tuple[str, ...] = ()
    """Terms that no codebook maps."""
    without_offsets: int = 0
    """Verdicts whose place in the text is not known."""


class JudgedFormat(NamedTuple):
    """How the rows of a format judge."""

    source: str
    """Its name in `maps` of codebooks."""
    annotator: str
    """Without a version."""
    codebook: str | None
    """The shipped codebook that maps its terms; null where the terms are optional."""
    read: Callable[[JudgedGroup, Mapping[str, str], Terms], JudgedReading]
    """What a group says of its trace's reasoning and answer."""
    group: Callable[[Iterable[RawRow]], Iterator[JudgedGroup]]
    """The traces of a file."""
    note: str = ""
    """What is said once of verdicts without offsets."""


def each_row(rows: Iterable[RawRow]) -> Iterator[JudgedGroup]:
    """Every row is a trace."""
    for raw in rows:
        yield JudgedGroup(raw.row, (raw,), {raw.line: raw.fault} if raw.fault else {})
