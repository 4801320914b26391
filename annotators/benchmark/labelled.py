"""The labelled set: traces written and labelled one by one, to tune annotators on (dev) and to measure them (test).

See README.md for its contents. No topic is in both splits; never tune on test.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict

from schemas.choices import PromptKind
from schemas.errors import DataError
from schemas.prompt import prompt_id
from schemas.trace import Trace, ingested_trace_id

Split = Literal["dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Labelled(NamedTuple):
    """A trace and its gold labels."""

    trace: Trace
    labels: dict[str, bool]
    """Label of each risky pattern, and of the properties answer_refusal, reasoning_refusal and safety_awareness."""
    evidence: dict[str, list[str]]
    """For each true pattern the passages that show it, verbatim from the reasoning (for inconsistency also the answer)."""
    topic: str
    style: str
    hard_negative: bool
    """All five patterns are false, but the wording suggests one."""
    batch: str
    """The batch (writer) it comes from: its file name without extension."""
    source: str
    """The source trace it was made from, or its topic; traces with the same source stay on one side of every split."""


class LabelledLine(BaseModel):
    """One line of the files."""

    model_config = ConfigDict(extra="forbid")

    id: str
    topic: str
    style: str
    kind: PromptKind
    prompt: str
    reasoning: str
    answer: str
    labels: dict[str, bool]
    evidence: dict[str, list[str]]
    structure: dict[str, bool]
    hard_negative: bool
    note: str
    """Reason for the labels."""


def load(split: Split) -> list[Labelled]:
    """The traces of a split, in file order."""
    folder = files("annotators.benchmark") / split
    parts = sorted(
        (part for part in folder.iterdir() if part.name.endswith(".jsonl")), key=lambda part: part.name
    )
    return [
        _labelled(json.loads(line), part.name.removesuffix(".jsonl"))
        for part in parts
        for line in part.read_text("utf-8").splitlines()
        if line
    ]


def _labelled(row: dict[str, object], batch: str) -> Labelled:
    source = LabelledLine.model_validate(row)
    trace = as_trace(source.id, source.prompt, source.reasoning, source.answer, source.kind)
    return Labelled(
        trace,
        source.labels | source.structure,
        source.evidence,
        source.topic,
        source.style,
        source.hard_negative,
        batch,
        source.topic,
    )


class FullRow(BaseModel):
    """One line of a folder of labelled rows in full; further fields are left alone."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str
    source_id: str | None = None
    """What the row was made of; rows of one source belong together."""
    hand: str
    kind: PromptKind
    prompt: str
    reasoning: str
    answer: str
    labels: dict[str, bool]
    evidence: dict[str, list[str]]
    style: str


def load_folder(folder: Path) -> list[Labelled]:
    """The rows of a folder's JSONL files, in full, without those whose labels a second reader disputes (`disputed.txt`).

    Raises:
        DataError: if there is none, or a line is not such a row.
    """
    found = sorted(folder.glob("*.jsonl"))
    if not found:
        raise DataError(f"{folder}: no .jsonl file here; give the folder that holds the labelled rows")
    disputed = set((files("annotators.benchmark") / "disputed.txt").read_text("utf-8").split())
    return [item for path in found for item in _full(path) if item.trace.source_id not in disputed]


def _full(path: Path) -> Iterator[Labelled]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            row = FullRow.model_validate_json(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: not a labelled row ({error})") from error
        yield Labelled(
            trace=as_trace(row.id, row.prompt, row.reasoning, row.answer, row.kind),
            labels=row.labels,
            evidence=row.evidence,
            topic="",
            style=row.style,
            hard_negative=row.style == "negative",
            batch=row.hand,
            source=row.source_id or row.id,
        )


def as_trace(name: str, prompt: str, reasoning: str, answer: str, kind: PromptKind) -> Trace:
    """A row's trace; its id in the file becomes the `source_id`."""
    identity = prompt_id(prompt)
    return Trace(
        trace_id=ingested_trace_id(identity, None, None, reasoning, answer),
        prompt_id=identity,
        prompt=prompt,
        kind=kind,
        reasoning=reasoning,
        answer=answer,
        source="benchmark",
        source_id=name,
    )
