"""Batches of raw rows: what every reader yields and every format reads.

Rows that have the same columns are also handed on in columns, since a column is checked and written in a fraction of the time that its
values take one by one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curation.ingest.containers.cells import cells, distinct_names, text_size
from schemas.errors import DataError
from schemas.response import Fault

BATCH_ROWS = 1024
MAX_ROW = 64 * 2**20
"""A longer row is quarantined instead of being loaded completely; in bytes, or characters where it is parsed already."""

PIECE = 2**23
"""Code points of texts of rows that are read together, where rows may share them."""


class RawRow(NamedTuple):
    """One row as its source has it."""

    line: int
    """1-based line (JSONL) or row (everything else)."""
    row: Any
    """The parsed row; null when it has a fault."""
    text: bytes | None
    """Its bytes, where the source is a text file."""
    fault: Fault | None = None


class RowColumn(NamedTuple):
    """The values of one column."""

    values: Sequence[Any]
    kinds: frozenset[type]
    """The types of its values."""


class RowGroup(NamedTuple):
    """Rows of a batch that have the same columns."""

    places: Sequence[int]
    """Where they are in the batch, ascending."""
    columns: dict[str, RowColumn]


class ColumnRows(Sequence[dict[str, Any]]):
    """Rows that are made from their columns when one is asked for."""

    def __init__(self, columns: Mapping[str, Sequence[Any]], count: int) -> None:
        self._columns, self._count = columns, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        return {name: values[place] for name, values in self._columns.items()}


class Batch(NamedTuple):
    """Rows that follow one another in a source."""

    lines: Sequence[int]
    rows: Sequence[Any]
    groups: list[RowGroup]
    """Those that are objects without a fault."""
    faults: Mapping[int, Fault] = {}
    """By place."""
    texts: Callable[[int], bytes | None] = lambda _: None
    """The bytes of the row at a place."""

    @classmethod
    def of(cls, raws: Sequence[RawRow]) -> "Batch":
        """A batch of some rows."""
        faults = {place: raw.fault for place, raw in enumerate(raws) if raw.fault}
        sound = [place for place, raw in enumerate(raws) if not raw.fault and type(raw.row) is dict]
        rows = [raw.row for raw in raws]
        groups = grouped([rows[place] for place in sound], sound)
        return cls([raw.line for raw in raws], rows, groups, faults, lambda place: raws[place].text)

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.lines)

    def raw(self, place: int) -> RawRow:
        """One row."""
        return RawRow(self.lines[place], self.rows[place], self.texts(place), self.faults.get(place))

    def raws(self) -> Iterator[RawRow]:
        """All rows, one by one."""
        return map(self.raw, range(self.size))


class Source(NamedTuple):
    """One stream of rows."""

    name: str
    """Name without folders: what the corpus remembers."""
    files: tuple[Path, ...]
    """The files it is read from, for the manifest's hash."""
    batches: Callable[[], Iterator[Batch]]
    """Starts the stream from the top."""

    def rows(self) -> Iterator[RawRow]:
        """The rows, one by one."""
        return (raw for batch in self.batches() for raw in batch.raws())


def grouped(rows: Sequence[dict[str, Any]], places: Sequence[int]) -> list[RowGroup]:
    """Rows in columns, those with the same columns in the same order together."""
    shapes = [*map(tuple, rows)]
    by_shape: dict[tuple[str, ...], list[int]] = {}
    if len(distinct := set(shapes)) == 1:
        return [_group(places, shapes[0], zip(*map(dict.values, rows), strict=True))]
    for number, shape in enumerate(shapes) if distinct else ():
        by_shape.setdefault(shape, []).append(number)
    return [
        _group([places[n] for n in own], shape, zip(*(rows[n].values() for n in own), strict=True))
        for shape, own in by_shape.items()
    ]


def _group(places: Sequence[int], names: Sequence[str], columns: Iterable[Sequence[Any]]) -> RowGroup:
    told = {
        name: RowColumn(values, frozenset(map(type, values)))
        for name, values in zip(names, columns, strict=True)
    }
    return RowGroup(places, told)


def batched(rows: Iterable[RawRow]) -> Iterator[Batch]:
    """Rows in batches whose texts are not long; those before an error are handed on before it is raised."""
    taken: list[RawRow] = []
    size = 0
    try:
        for raw in rows:
            taken.append(raw)
            size += len(raw.text) if raw.text else text_size(raw.row)
            if len(taken) == BATCH_ROWS or size > PIECE:
                yield Batch.of(taken)
                taken, size = [], 0
    except Exception:
        if taken:
            yield Batch.of(taken)
        raise
    if taken:
        yield Batch.of(taken)


def arrow_batches(batches: Iterable[Any], before: int = 0) -> Iterator[Batch]:
    """Arrow batches, their rows numbered behind `before`; a cell that cannot be read makes its row a fault, and no other."""
    for arrow in batches:
        names = distinct_names(arrow.schema.names)
        group = _group(range(arrow.num_rows), names, map(cells, arrow.columns))
        rows = ColumnRows({name: column.values for name, column in group.columns.items()}, arrow.num_rows)
        lines = range(before + 1, before + arrow.num_rows + 1)
        before += arrow.num_rows
        if _is_sound(group):
            yield from [Batch(lines, rows, [group])] if lines else []
        else:
            yield from batched(map(_checked, lines, rows))


def _is_sound(group: RowGroup) -> bool:
    """Whether no cell is a fault, and all texts together are no longer than one row may be: values may be shared."""
    size = 0
    for values, kinds in group.columns.values():
        if not kinds.isdisjoint((Fault, dict, list, tuple)):
            return False
        if not kinds.isdisjoint((str, bytes)):
            whole = kinds <= {str, bytes}
            size += sum(map(len, values if whole else [v for v in values if isinstance(v, str | bytes)]))
    return size <= MAX_ROW


def _checked(line: int, row: dict[str, Any]) -> RawRow:
    bad = next((name for name, value in row.items() if type(value) is Fault), None)
    if bad is not None:
        fault = row[bad]
        shown = {name: None if type(value) is Fault else value for name, value in row.items()}
        return RawRow(line, shown, None, Fault(fault.reason, f"column {bad}: {fault.detail}"))
    if text_size(row) > MAX_ROW:
        return RawRow(line, None, None, Fault("too_long", f"the row is longer than {MAX_ROW} characters"))
    return RawRow(line, row, None)


def check_names(path: Path, names: Sequence[str]) -> None:
    """Reject columns of one name: a row could hold the value of one of them only.

    Raises:
        DataError: naming them.
    """
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise DataError(
            f"{path}: several columns are named {', '.join(map(repr, twice))}; give each a name of its own"
        )
