"""From the columns of rows to lines of the prompts and traces tables, for rows that need no more than their columns checked.

Whatever is not as most rows are is left to the rows' own path (`curation.ingest.fields`), which gives the same lines for all rows, and the
faults: this one only takes less time.
"""

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, NamedTuple

from curation.ingest.containers.rows import RowColumn, RowGroup
from curation.ingest.fields import (
    INTEGERS,
    PROMPT_ONLY,
    TRACE_FIELDS,
    BadRow,
    FieldPath,
    extra_json,
    plain,
)
from curation.ingest.formats import REASONING_COLUMNS, Format, sort_out
from curation.ingest.recipe import IngestRecipe
from schemas.prompt import KINDS, prompt_ids
from schemas.response import Fault, Split, separate, split
from schemas.response.finish import TELLING, finish_word
from schemas.trace import ingested_trace_ids

ODD = frozenset({"turns", "tools", "message", "chat", "beside", "query"})
"""Fields that only rows have whose path is their own."""
Values = Sequence[Any]


class ColumnLines(NamedTuple):
    """Lines in columns, as COLUMNS has them."""

    places: Sequence[int]
    prompts: list[Values]
    traces: list[Values]


def read_columns(
    group: RowGroup, lines: Sequence[int], form: Format, place: FieldPath, recipe: IngestRecipe
) -> ColumnLines | None:
    """The lines of those rows of a group that need no path of their own; null if that is none.

    Args:
        group: the rows.
        lines: the line number of every row of the batch.
        form: how they are read.
        place: their source.
        recipe: of the ingest.
    """
    sorted_out = _sorted_out(group.columns, form, recipe)
    if sorted_out is None:
        return None
    fields, extra = sorted_out
    odd: set[int] = set()
    finish = _finish(fields.pop("finish_reason", None), len(group.places))
    cleaned = {name: _cleaned(name, column, odd) for name, column in fields.items()}
    told = {name: values for name, values in cleaned.items() if values is not None}
    odd.update(n for n, text in enumerate(told.get("prompt", ())) if not text or text.isspace())
    odd.update(n for n, kind in enumerate(told.get("kind", ())) if kind is not None and kind not in KINDS)
    responses = _responses(told, finish, odd)
    if responses is None or "prompt" not in told or len(odd) == len(group.places):
        return None
    reasonings, answers = responses
    beside = {name: column.values for name, column in extra.items()}
    places = group.places
    if odd:
        chosen = [n not in odd for n in range(len(places))]
        pick: Callable[[Values], list[Any]] = lambda values: list(compress(values, chosen))  # noqa: E731
        told, beside = {n: pick(v) for n, v in told.items()}, {n: pick(v) for n, v in beside.items()}
        places, reasonings, answers, finish = map(pick, (places, reasonings, answers, finish))
    return _lines(told, beside, (reasonings, answers, finish), places, [lines[at] for at in places], place)


def _sorted_out(
    columns: dict[str, RowColumn], form: Format, recipe: IngestRecipe
) -> tuple[dict[str, RowColumn], dict[str, RowColumn]] | None:
    """The columns as fields and extra columns; null where how they are read depends on a row's values."""
    if not columns or form.makes != "traces":
        return None
    if form.unfold and (form.unfolds is None or form.unfolds & columns.keys()):
        return None
    fields, extra = sort_out(form._replace(unfold=None, beside=False), columns)
    if ODD & fields.keys() or TELLING & extra.keys() or (form.beside and extra.keys() & {*REASONING_COLUMNS}):
        return None
    if recipe.constants.keys() & fields.keys():
        return None
    rows = len(next(iter(columns.values())).values)
    fields |= {
        name: RowColumn([value] * rows, frozenset({type(value)})) for name, value in recipe.constants.items()
    }
    whole = "response" in fields
    apart = fields.keys() & {"reasoning", "answer"}
    return (fields, extra) if len(apart) == (0 if whole else 2) else None


def _finish(column: RowColumn | None, rows: int) -> Values:
    """The word by which each row says why its response ended; null where it says nothing."""
    if column is None or column.kinds == {type(None)}:
        return [None] * rows
    words = {value: finish_word({"finish_reason": value}) for value in {*map(_text_or_null, column.values)}}
    return [
        words[value] if type(value) is str else finish_word({"finish_reason": value})
        for value in column.values
    ]


def _text_or_null(value: Any) -> str | None:
    return value if type(value) is str else None


def _cleaned(name: str, column: RowColumn, odd: set[int]) -> Values | None:
    """A field's values as its column has them; null if all are. The places of values that it cannot have are added to `odd`."""
    values, kinds = column
    if kinds == {type(None)}:
        return None
    if str in kinds:
        odd.update(n for n, value in enumerate(values) if type(value) is str and "\0" in value)
        if name in INTEGERS:
            odd.update(n for n, value in enumerate(values) if type(value) is str)
    if not kinds <= {str, type(None)}:
        values = [_plain_or_odd(name, value, n, odd) for n, value in enumerate(values)]
    return values


def _plain_or_odd(name: str, value: Any, place: int, odd: set[int]) -> Any:
    if value is None or type(value) is str:
        return value
    try:
        found = plain(name, value)
    except BadRow:
        found = None
    if found is None:
        odd.add(place)
    return found


def _responses(told: dict[str, Values], finish: Values, odd: set[int]) -> tuple[list[str], list[str]] | None:
    """Reasonings and answers; "" where a row is odd."""
    read: Callable[..., Split | Fault] = split if "response" in told else separate
    names = ("response",) if "response" in told else ("reasoning", "answer")
    if not all(name in told for name in names):
        return None
    reasonings, answers = [], []
    for n, texts in enumerate(zip(*(told.pop(name) for name in names), finish, strict=True)):
        found = Fault("", "") if None in texts[:-1] or n in odd else read(*texts)
        odd.update([n] if isinstance(found, Fault) else ())
        reasoning, answer = ("", "") if isinstance(found, Fault) else found
        reasonings.append(reasoning)
        answers.append(answer)
    return reasonings, answers


def _lines(
    told: dict[str, Values],
    beside: dict[str, Values],
    responses: tuple[Values, Values, Values],
    places: Sequence[int],
    numbers: list[int],
    place: FieldPath,
) -> ColumnLines:
    rows = len(places)
    null: Values = [None] * rows
    file: Values = [place.file] * rows
    reasonings, answers, finish = responses
    prompts = told["prompt"]
    keys = prompt_ids(prompts)
    ids = ingested_trace_ids(keys, told.get("strategy", null), told.get("model", null), reasonings, answers)
    own = {
        **{name: told.get(name, null) for name in TRACE_FIELDS},
        "kind": _filled(told.get("kind"), place.kind, rows),
        "source": _filled(told.get("source"), place.source, rows),
        "sample_index": _filled(told.get("sample_index"), 0, rows),
    }
    extra = _extra(beside, {name: told[name] for name in PROMPT_ONLY if name in told}, rows)
    of_prompt = [keys, prompts, own["kind"], own["source"], *(told.get(name, null) for name in PROMPT_ONLY)]
    return ColumnLines(
        places,
        [*of_prompt, file, numbers, told.get("source_id", null), null, null, null],
        [ids, keys, reasonings, answers, finish, file, numbers, extra, null, null, *own.values()],
    )


def _filled(values: Values | None, default: Any, rows: int) -> Values:
    if values is None:
        return [default] * rows
    return [default if value is None else value for value in values] if None in values else values


def _extra(beside: dict[str, Values], of_prompt: dict[str, Values], rows: int) -> Values:
    """The JSON of what no column takes, and of what the prompts table keeps of another row."""
    if not beside and not of_prompt:
        return [None] * rows
    told = []
    for n in range(rows):
        row = {name: values[n] for name, values in beside.items()}
        row.update((name, values[n]) for name, values in of_prompt.items() if values[n] is not None)
        told.append(extra_json(row))
    return told
