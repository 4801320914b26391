"""Ranges of a row's text that a file names, such as the evidence spans of risky patterns (`curate spans`) or a user's own.

Offsets are code points into the reasoning or the answer of a trace. The surprise: a mix may have rewritten the reasoning since, so each line
may carry the id of the text that it speaks of, and a range of another text is left out and counted.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import orjson

from schemas.errors import DataError
from schemas.ids import texts_id
from schemas.row import Row

TextField = Literal["reasoning", "answer"]
SHOWN = 20
"""Faults of a file that are listed."""


class TextRange(NamedTuple):
    """A named range of a trace's text."""

    name: str
    field: TextField
    start: int
    end: int
    text_id: str | None = None
    """`texts_id` of the text; null: of whatever text the row has."""


Ranges = Mapping[str, Sequence[TextRange]]
"""By trace id."""


def read_ranges(path: Path) -> dict[str, list[TextRange]]:
    """Read a file of ranges, one JSON object a line.

    Raises:
        DataError: naming every invalid line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); make it with: curate spans") from error
    found: dict[str, list[TextRange]] = {}
    faults = []
    for number, line in enumerate(lines, 1):
        try:
            trace, one = _parsed(orjson.loads(line))
            found.setdefault(trace, []).append(one)
        except (ValueError, KeyError, TypeError):
            faults.append(
                f'{path}:{number}: write {{"trace_id": "...", "name": "...", "field": "reasoning" or "answer", "start": 0, "end": 5}}'
            )
    if faults:
        more = [f"and {len(faults) - SHOWN} more lines"] if len(faults) > SHOWN else []
        raise DataError("\n".join([*faults[:SHOWN], *more]))
    return found


def of_row(ranges: Ranges, row: Row, original: Row) -> tuple[list[TextRange], int]:
    """The ranges of a row's texts, and how many speak of another text or reach beyond it.

    Args:
        ranges: of all traces.
        row: as it is rendered.
        original: as it is in the mix, before control tokens were escaped.
    """
    found, lost = [], 0
    for one in ranges.get(row.trace_id, ()):
        text: str = getattr(original, one.field)
        if one.end > len(text) or one.text_id not in (None, texts_id(text)):
            lost += 1
            continue
        shift = _shifts(text, getattr(row, one.field))
        found.append(one._replace(start=shift(one.start), end=shift(one.end)))
    return found, lost


def _parsed(line: Any) -> tuple[str, TextRange]:
    trace, name, field, start, end = (line[key] for key in ("trace_id", "name", "field", "start", "end"))
    named = isinstance(trace, str) and isinstance(name, str) and field in get_args(TextField)
    whole = all(type(offset) is int and math.isfinite(offset) for offset in (start, end))
    if not (named and whole and 0 <= start < end and isinstance(line.get("text_id"), str | None)):
        raise ValueError
    return trace, TextRange(name, field, start, end, line.get("text_id"))


def _shifts(before: str, after: str) -> Any:
    """Where an offset of a text is after characters were put into it."""
    if before == after:
        return lambda offset: offset
    places, at = [], 0
    for character in before:
        while after[at] != character:
            at += 1
        places.append(at)
        at += 1
    return [*places, len(after)].__getitem__
