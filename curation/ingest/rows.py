"""Streams of raw rows: what every reader yields and every format reads."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from schemas.response import Fault

BATCH_ROWS = 1024


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
    """Rows of Arrow batches, numbered from 1."""
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield RawRow(number, row, None)
