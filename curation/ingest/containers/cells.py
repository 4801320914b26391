"""Values of Arrow columns as Python has them. A value that cannot be read is a Fault in its place, and no other is lost.

The surprise: values of a dictionary are shared, not copied, at any depth. A file of 2 kB may hold one text of 20 MB that ten
thousand rows refer to.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from schemas.response import Fault

NO_PLACE = -(2**63)
"""Stands for a null among the places of a dictionary."""


def cells(column: Any) -> list[Any]:
    """The values of a column (a `pyarrow.Array`); a Fault in the place of one that cannot be read."""
    import pyarrow as pa

    kind = column.type
    if isinstance(column, pa.ChunkedArray):
        return [value for chunk in column.chunks for value in cells(chunk)]
    if isinstance(column, pa.ExtensionArray):
        return cells(column.storage)
    if pa.types.is_dictionary(kind):
        return _of_dictionary(column)
    if pa.types.is_map(kind):
        pairs = zip(_within(column, column.keys), _within(column, column.items), strict=True)
        return _lists(column, [_whole(list(pair), tuple(pair)) for pair in pairs])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _lists(column, _within(column, column.values))
    if pa.types.is_struct(kind) and kind.num_fields:
        return _structs(column)
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, ArithmeticError, KeyError, TypeError, pa.ArrowException):
        return [_cell(column[place]) for place in range(len(column))]


def distinct_names(names: Sequence[str]) -> list[str]:
    """Column names without repetition: a second `a` is `a.2`."""
    counts: Counter[str] = Counter()
    found = []
    for name in names:
        counts[name] += 1
        found.append(name if counts[name] == 1 else f"{name}.{counts[name]}")
    return found


def text_size(row: Any) -> int:
    """How many characters and bytes the texts of a row have together."""
    size, waiting = 0, [row]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str | bytes):
            size += len(value)
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
    return size


def _of_dictionary(column: Any) -> list[Any]:
    """The values that a column refers to, and no others: a batch of a Parquet file has the dictionary of all batches before it."""
    import numpy as np
    import pyarrow as pa

    values = column.dictionary
    places = column.indices.cast(pa.int64(), safe=False).fill_null(NO_PLACE).to_numpy(zero_copy_only=False)
    used = np.unique(places[(places >= 0) & (places < len(values))])
    try:
        values = values.take(pa.array(used)) if len(used) < len(values) else values
    except pa.ArrowNotImplementedError:  # Arrow takes nothing from views of strings, which polars writes
        used = np.arange(len(values))
    told = dict(zip(used.tolist(), cells(values), strict=True)) | {NO_PLACE: None}
    bad = Fault("bad_cell", "a value points beyond its dictionary")
    return [told.get(place, bad) for place in places.tolist()]


def _within(column: Any, values: Any) -> list[Any]:
    """The values that the lists of a column hold."""
    offsets = column.offsets
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    return cells(values.slice(first, last - first))


def _lists(column: Any, values: list[Any]) -> list[Any]:
    offsets, filled = column.offsets.to_pylist(), column.is_valid().to_pylist()
    sound = not any(type(value) is Fault for value in values)
    found = []
    for place, there in enumerate(filled):
        part = values[offsets[place] - offsets[0] : offsets[place + 1] - offsets[0]]
        found.append(None if not there else part if sound else _whole(part, part))
    return found


def _structs(column: Any) -> list[Any]:
    names = distinct_names([column.type.field(number).name for number in range(column.type.num_fields)])
    rows = zip(*(cells(child) for child in column.flatten()), strict=True)
    return [
        _whole(row, dict(zip(names, row, strict=True))) if there else None
        for row, there in zip(rows, column.is_valid().to_pylist(), strict=True)
    ]


def _whole(parts: Sequence[Any], value: Any) -> Any:
    """A value of several parts, or the first fault among them."""
    return next((part for part in parts if type(part) is Fault), value)


def _cell(scalar: Any) -> Any:
    """One value; a date, time or duration out of Python's range as its number and unit."""
    import pyarrow as pa

    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        return Fault("invalid_utf8", f"byte {error.start} is not UTF-8")
    except (ValueError, OverflowError, ArithmeticError, KeyError, TypeError, pa.ArrowException):
        if pa.types.is_temporal(scalar.type):
            return f"{scalar.value} ({scalar.type})"
        return Fault("bad_cell", f"a value of type {scalar.type} cannot be read")
