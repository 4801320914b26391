"""Streams of raw rows: what every reader yields and every format reads."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curation.ingest.containers.cells import cells, distinct_names
from schemas.errors import DataError
from schemas.response import Fault

BATCH_ROWS = 1024
MAX_ROW = 64 * 2**20
"""A longer row is quarantined instead of being loaded completely; in bytes, or characters where it is parsed already."""


class RawRow(NamedTuple):
    """One row as its source has it."""

    line: int
    """1-based line (JSONL) or row (everything else)."""
    row: Any
    """The parsed row; null when it has a fault."""
    text: bytes | None
    """Its bytes, where the source is a text file."""
    fault: Fault | None = None


class Source(NamedTuple):
    """One stream of rows."""

    name: str
    """Name without folders: what the corpus remembers."""
    files: tuple[Path, ...]
    """The files it is read from, for the manifest's hash."""
    rows: Callable[[], Iterator[RawRow]]
    """Starts the stream from the top."""


def batch_rows(batches: Iterator[Any]) -> Iterator[RawRow]:
    """Rows of Arrow batches, numbered from 1; a cell that cannot be read makes its row a fault, and no other."""
    number = 0
    for batch in batches:
        names = distinct_names(batch.schema.names)
        columns = [cells(column) for column in batch.columns]
        for values in zip(*columns, strict=True):
            number += 1
            row = dict(zip(names, values, strict=True))
            bad = next((name for name, value in row.items() if type(value) is Fault), None)
            if bad is None:
                yield RawRow(number, row, None)
            else:
                fault = row[bad]
                shown = {name: None if type(value) is Fault else value for name, value in row.items()}
                yield RawRow(number, shown, None, Fault(fault.reason, f"column {bad}: {fault.detail}"))


def check_names(path: Path, names: Sequence[str]) -> None:
    """Reject columns of one name: a row could hold the value of one of them only.

    Raises:
        DataError: naming them.
    """
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise DataError(
            f"{path}: several columns are named {', '.join(map(repr, twice))}; give each a name of its own"
        )
