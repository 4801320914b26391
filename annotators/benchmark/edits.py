"""Labelled rows on real reasoning: our own passages, and where they go in a trace of STAR-1 (UCSC-VLAA/STAR-1, Apache-2.0).

The traces are not ours and are not kept here; given STAR-1's file, `load` puts the rows together, and says which it could not.
Rows written anew stand here in full and need nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from annotators.benchmark.labelled import Labelled, as_trace
from schemas.choices import PromptKind
from schemas.errors import DataError
from schemas.ids import texts_id
from schemas.response import Split, split
from schemas.trace import Trace

FOLDER = "annotators.benchmark"
HELD_OUT = ("t5", "t6", "t7", "t8", "t9")
"""Hands that nothing is trained or tuned on. What others made of the same sources (t3 and t4 did) is left out of learning too."""
Field = Literal["prompt", "reasoning", "answer"]


class Edit(BaseModel):
    """A stretch of a field that our text replaces, in code points of the source."""

    model_config = ConfigDict(extra="forbid")

    field: Field
    start: int
    end: int
    text: str


class EditedRow(BaseModel):
    """One line of the files."""

    model_config = ConfigDict(extra="forbid")

    id: str
    source_id: str | None
    """STAR-1's id; null for a row written anew."""
    source_hash: str | None
    """Of the source's prompt, reasoning and answer, so that another edition of STAR-1 is noticed."""
    edits: list[Edit]
    """In order and apart from each other; a row written anew is three edits of nothing."""
    kind: PromptKind
    labels: dict[str, bool]
    evidence: dict[str, list[tuple[Field, int, int]]]
    """Per true pattern the places that show it, in the finished text."""
    style: str
    """edited, negative (the same kind of edit, no pattern true by it), untouched, written."""
    topic: str
    note: str


class EditedRows(NamedTuple):
    """The rows that could be put together, and why others could not."""

    items: list[Labelled]
    skipped: dict[str, int]
    """Reason -> rows."""


def hands() -> list[str]:
    """The names of the files, without their ending."""
    folder = files(FOLDER) / "edits"
    return sorted(
        part.name.removesuffix(".jsonl") for part in folder.iterdir() if part.name.endswith(".jsonl")
    )


def load(sources: Mapping[str, Trace], *names: str) -> EditedRows:
    """The rows of some hands (all if none is named), in file order.

    Args:
        sources: STAR-1's traces by id (`star1`); empty where its file is not at hand.
    """
    items, skipped = [], Counter[str]()
    for hand in names or hands():
        for row in rows(hand):
            item = _built(row, hand, sources)
            if isinstance(item, str):
                skipped[item] += 1
            else:
                items.append(item)
    return EditedRows(items, dict(skipped))


def rows(hand: str) -> Iterator[EditedRow]:
    """The lines of a hand's file."""
    text = (files(FOLDER) / "edits" / f"{hand}.jsonl").read_text("utf-8")
    return (EditedRow.model_validate_json(line) for line in text.splitlines())


def star1(path: Path) -> dict[str, Trace]:
    """STAR-1's traces by id.

    Raises:
        DataError: if the file cannot be read as STAR-1.
    """
    try:
        found = json.loads(path.read_bytes())
        return {row["id"]: trace for row in found if (trace := _source(row))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not the file of STAR-1 ({error}); it is star1.json of UCSC-VLAA/STAR-1"
        ) from error


def _source(row: Mapping[str, str]) -> Trace | None:
    parts = split(row["response"])
    if not isinstance(parts, Split):
        return None
    return as_trace(row["id"], row["question"], parts.reasoning, parts.answer, "harmful")


class Untouched(NamedTuple):
    """Traces of STAR-1 as their authors published them, filtered for safety: weak examples of nothing."""

    learn: list[Trace]
    """The sources of rows that are trained on, and half of the rest."""
    decide: list[Trace]
    """The other half: only decisions are learned from them."""
    measure: list[Trace]
    """What held-out hands edited, in its published form: nothing is learned from it."""


def untouched(sources: Mapping[str, Trace], further: Iterable[Labelled] = ()) -> Untouched:
    """STAR-1's traces as they were published, by what may be learned from them.

    Args:
        sources: STAR-1's traces by id.
        further: rows beside those kept here, whose sources are not free either.
    """
    away = held_out_sources()
    taken = {row.source_id for hand in hands() if hand not in HELD_OUT for row in rows(hand)}
    taken |= {item.source for item in further}
    free = sorted((name for name in sources if name not in taken), key=texts_id)
    learn = [name for name in sources if name in taken - away] + free[::2]
    return Untouched(
        [sources[name] for name in learn if name not in away],
        [sources[name] for name in free[1::2] if name not in away],
        [sources[name] for name in sorted(away & sources.keys(), key=texts_id)],
    )


def held_out_sources() -> set[str]:
    """The traces of STAR-1 that rows of held-out hands are made of."""
    return {row.source_id for hand in HELD_OUT for row in rows(hand) if row.source_id}


def source_hash(trace: Trace) -> str:
    """What tells one edition of a source from another."""
    return texts_id(trace.prompt, trace.reasoning, trace.answer)[:12]


def _built(row: EditedRow, hand: str, sources: Mapping[str, Trace]) -> Labelled | str:
    """The row as a trace, or why there is none."""
    source = sources.get(row.source_id or "")
    if row.source_id is not None and source is None:
        return "its source is not among the traces of STAR-1 that were given"
    if source and source_hash(source) != row.source_hash:
        return "its source reads otherwise in this edition of STAR-1"
    texts = {
        name: edited(getattr(source, name, ""), row.edits, name) for name in ("prompt", "reasoning", "answer")
    }
    return Labelled(
        trace=as_trace(row.id, texts["prompt"], texts["reasoning"], texts["answer"], row.kind),
        labels=row.labels,
        evidence={
            name: [texts[field][a:b] for field, a, b in places] for name, places in row.evidence.items()
        },
        topic=row.topic,
        style=row.style,
        hard_negative=row.style == "negative",
        batch=hand,
        source=row.source_id or row.id,
    )


def edited(text: str, edits: list[Edit], field: str) -> str:
    """A field with its edits made."""
    pieces, done = [], 0
    for edit in edits:
        if edit.field == field:
            pieces += [text[done : edit.start], edit.text]
            done = edit.end
    return "".join([*pieces, text[done:]])
