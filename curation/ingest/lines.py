"""From a batch of rows to lines of the tables, in columns: ordinary rows together, all others one by one, in the order of the rows."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from curation.ingest.columns import Values, read_columns
from curation.ingest.containers.rows import Batch, RawRow
from curation.ingest.fields import BadRow, FieldLines, FieldPath, prompt_line, trace_line
from curation.ingest.formats import Format, sort_out
from curation.ingest.recipe import IngestRecipe
from schemas.response import Fault

FEW = 8
"""Fewer rows with the same columns take less time one by one."""


class RowState(NamedTuple):
    """The state of a source row; kept by default."""

    raw: RawRow
    fault: Fault | None = None
    """Why it is quarantined."""
    filtered: str | None = None
    """Why it is filtered."""


class TableLines(NamedTuple):
    """Lines of rows that follow one another, in columns, as COLUMNS has them."""

    numbers: Sequence[int]
    """The number of each row in its file."""
    prompts: Sequence[Values]
    traces: Sequence[Values] | None
    """Null for prompts without responses."""
    queries: Values = ()
    """What an attack wraps, of prompts without responses."""

    @classmethod
    def of(cls, rows: Sequence[tuple[int, FieldLines]], queries: Values = ()) -> "TableLines":
        """The lines of some rows, all with a response or all without."""
        traces = (
            None
            if rows[0][1].trace is None
            else list(zip(*(lines.trace or () for _, lines in rows), strict=True))
        )
        prompts = list(zip(*(lines.prompt for _, lines in rows), strict=True))
        return cls([line for line, _ in rows], prompts, traces, queries or [None] * len(rows))

    def part(self, start: int, end: int) -> "TableLines":
        """Some of them."""
        traces = None if self.traces is None else [column[start:end] for column in self.traces]
        return TableLines(
            self.numbers[start:end], [c[start:end] for c in self.prompts], traces, self.queries[start:end]
        )


def read_batch(
    batch: Batch, form: Format, place: FieldPath, recipe: IngestRecipe
) -> Iterator[TableLines | RowState]:
    """The lines of a batch, and the rows that have none with the reason, in the order of the rows."""
    others: list[tuple[int, TableLines | RowState]] = []
    if recipe.filters:
        batch, others = _wanted(batch, recipe)
    together: list[TableLines] = []
    rest = {*range(batch.size)}
    for group in batch.groups:
        if len(group.places) >= FEW and (found := read_columns(group, batch.lines, form, place, recipe)):
            rest.difference_update(found.places)
            together.append(TableLines([batch.lines[at] for at in found.places], found.prompts, found.traces))
    traced: list[tuple[int, FieldLines]] = []
    asked: list[tuple[int, FieldLines]] = []
    queries: list[str | None] = []
    for at in sorted(rest):
        try:
            lines, query = _read_row(batch, at, form, place, recipe)
        except BadRow as bad:
            others.append((batch.lines[at], RowState(batch.raw(at), bad.fault)))
            continue
        if lines.trace:
            traced.append((batch.lines[at], lines))
        else:
            asked.append((batch.lines[at], lines))
            queries.append(query)
    if traced:
        together.append(TableLines.of(traced))
    if asked and not together:
        together.append(TableLines.of(asked, queries))
    else:
        others += [(row[0], TableLines.of([row], [query])) for row, query in zip(asked, queries, strict=True)]
    yield from _in_turn(_in_order(together), others)


def _wanted(batch: Batch, recipe: IngestRecipe) -> tuple[Batch, list[tuple[int, TableLines | RowState]]]:
    """The rows that meet the filters, and the others."""
    kept: list[RawRow] = []
    others: list[tuple[int, TableLines | RowState]] = []
    for raw in batch.raws():
        if not raw.fault and (unmet := recipe.wants(raw.row)):
            others.append((raw.line, RowState(raw, filtered=f"filter {unmet}")))
        else:
            kept.append(raw)
    return (Batch.of(kept) if others else batch), others


def _read_row(
    batch: Batch, at: int, form: Format, place: FieldPath, recipe: IngestRecipe
) -> tuple[FieldLines, str | None]:
    if fault := batch.faults.get(at):
        raise BadRow(*fault)
    fields, extra = recipe.with_constants(sort_out(form, batch.rows[at]))
    make = trace_line if form.makes == "traces" else prompt_line
    return make(fields, extra, place, batch.lines[at]), fields.get("query")


def _in_order(pieces: list[TableLines]) -> TableLines | None:
    """Pieces of a batch as one, by the numbers of their rows."""
    if len(pieces) < 2:
        return pieces[0] if pieces else None
    numbers = [number for piece in pieces for number in piece.numbers]
    order = sorted(range(len(numbers)), key=numbers.__getitem__)

    def joined(columns: Sequence[Sequence[Values]]) -> list[Values]:
        return [
            _picked(order, [value for column in parts for value in column])
            for parts in zip(*columns, strict=True)
        ]

    traces = joined([piece.traces or () for piece in pieces])
    return TableLines(_picked(order, numbers), joined([piece.prompts for piece in pieces]), traces)


def _picked(order: list[int], values: list[Any]) -> list[Any]:
    return [values[n] for n in order]


def _in_turn(
    lines: TableLines | None, others: list[tuple[int, TableLines | RowState]]
) -> Iterator[TableLines | RowState]:
    """The lines, cut where another row stands between."""
    start = 0
    for number, other in sorted(others, key=lambda one: one[0]):
        end = bisect_left(lines.numbers, number) if lines else 0
        if lines and end > start:
            yield lines.part(start, end)
        start = end
        yield other
    if lines and start < len(lines.numbers):
        yield lines.part(start, len(lines.numbers)) if start else lines
