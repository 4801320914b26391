"""The labelled set: traces written and labelled one by one, to tune annotators on (dev) and to measure them (test).

See README.md for its contents. No topic is in both splits; never tune on test.
"""

import json
from importlib.resources import files
from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict

from schemas.choices import PromptKind
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
    """The batch it comes from: its file name without extension."""


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
    identity = prompt_id(source.prompt)
    trace = Trace(
        trace_id=ingested_trace_id(identity, None, None, source.reasoning, source.answer),
        prompt_id=identity,
        prompt=source.prompt,
        kind=source.kind,
        reasoning=source.reasoning,
        answer=source.answer,
        source="benchmark",
        source_id=source.id,
    )
    return Labelled(
        trace,
        source.labels | source.structure,
        source.evidence,
        source.topic,
        source.style,
        source.hard_negative,
        batch,
    )
