"""Streams of raw rows: what every reader yields and every format reads."""

from collections import Counter
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
    """Rows of Arrow batches, numbered from 1; a cell that cannot be read makes its row a fault, and no other."""
    number = 0
    for batch in batches:
        names = distinct_names(batch.schema.names)
        columns = [_cells(column) for column in batch.columns]
        for cells in zip(*columns, strict=True):
            number += 1
            bad = next(
                ((name, cell) for name, cell in zip(names, cells, strict=True) if isinstance(cell, Fault)),
                None,
            )
            if bad:
                shown = {n: None if isinstance(c, Fault) else c for n, c in zip(names, cells, strict=True)}
                yield RawRow(number, shown, None, Fault(bad[1].reason, f"column {bad[0]}: {bad[1].detail}"))
            else:
                yield RawRow(number, dict(zip(names, cells, strict=True)), None)


def distinct_names(names: list[str]) -> list[str]:
    """Column names without repetition: a second `a` is `a.2`."""
    counts: Counter[str] = Counter()
    found = []
    for name in names:
        counts[name] += 1
        found.append(name if counts[name] == 1 else f"{name}.{counts[name]}")
    return found


def _cells(column: Any) -> list[Any]:
    """The values of a column; a Fault in the place of one that cannot be read. Values of a dictionary are shared, not copied."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        values = _cells(column.dictionary)
        return [None if index is None else values[index] for index in column.indices.to_pylist()]
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, ArithmeticError, KeyError, pa.ArrowException):
        return [_cell(column[place]) for place in range(len(column))]


def _cell(scalar: Any) -> Any:
    """One value; a date, time or duration out of Python's range as its number and unit."""
    import pyarrow as pa

    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        return Fault("invalid_utf8", f"byte {error.start} is not UTF-8")
    except (ValueError, OverflowError, ArithmeticError, KeyError, pa.ArrowException):
        if pa.types.is_temporal(scalar.type):
            return f"{scalar.value} ({scalar.type})"
        return Fault("bad_cell", f"a value of type {scalar.type} cannot be read")
