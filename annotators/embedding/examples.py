"""Labelled traces as the reader learns from them, and how they are held out.

Several hands edited the same traces, so traces are grouped by the source they were made of; a group is never half learned from.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from annotators.benchmark import Labelled
from annotators.embedding.reader import CONCLUSIONS, SHOWN
from annotators.embedding.reading import Document
from annotators.rules.judge import judge as judge_by_rules
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

OTHERS = 0.3
"""Weight of the sentences beside the evidence: some show the pattern as well, and nobody wrote them down."""
UNTOUCHED = 0.6
"""What a trace of STAR-1 that nobody edited weighs against a labelled one."""
CLIPPED = 40
"""Code points at either end of a long sentence by which a quote that crosses sentences is recognised."""


class Example(NamedTuple):
    """A trace and what is known of it."""

    trace: Trace
    labels: Mapping[str, bool | None]
    """By pattern, and by conclusion where known; what is missing or null teaches nothing."""
    evidence: Mapping[str, Sequence[str]]
    """Per true pattern the words that show it, verbatim."""
    group: str
    """Examples of one group are learned from or held out together."""
    weight: float = 1.0


class Lesson(NamedTuple):
    """An example as the reader sees it."""

    example: Example
    document: Document
    targets: "SentenceTargets"


def from_labelled(items: Iterable[Labelled]) -> list[Example]:
    """Examples of the labelled set."""
    return [Example(item.trace, _labels(item), item.evidence, item.source) for item in items]


def _labels(item: Labelled) -> dict[str, bool | None]:
    """Its labels, and what follows from them; whether the answer refuses is told by the rules where nobody wrote it down."""
    labels: dict[str, bool | None] = dict(item.labels)
    reasoned, answered = CONCLUSIONS
    if item.trace.answer and labels.get(answered) is None:
        labels[answered] = judge_by_rules(item.trace)[answered].label
    if labels["lack_of_safety_awareness"]:
        labels[reasoned] = False
    elif labels.get(reasoned) is None and (refuses := labels.get(answered)) is not None:
        labels[reasoned] = refuses != labels["inconsistency"]
    if item.trace.kind == "benign":
        labels |= dict.fromkeys(RISKY_PATTERNS[:4], None)
    return labels


def untouched(traces: Iterable[Trace]) -> list[Example]:
    """Traces that their publishers filtered for safety, as examples of nothing; not quite true, so they weigh less."""
    labels = dict.fromkeys(RISKY_PATTERNS, False) | dict.fromkeys(CONCLUSIONS, True)
    return [Example(trace, labels, {}, trace.source_id or trace.trace_id, UNTOUCHED) for trace in traces]


class SentenceTargets(NamedTuple):
    """What a trace's sentences should show, (sentences, SHOWN)."""

    shown: Tensor
    known: Tensor
    """How much each counts."""


def targets(example: Example, document: Document) -> SentenceTargets:
    """SentenceTargets from labels and evidence."""
    shown = torch.zeros(len(document.sentences), len(SHOWN))
    known = torch.zeros_like(shown)
    reasoning = torch.tensor([s.field == "reasoning" for s in document.sentences], dtype=torch.bool)
    answer = torch.tensor([s.field == "answer" for s in document.sentences], dtype=torch.bool)
    for name in RISKY_PATTERNS:
        column = SHOWN.index(name)
        where = reasoning | answer if name == "inconsistency" else reasoning
        if example.labels.get(name):
            evident = _evident(example, document, name) & where
            shown[evident, column] = 1.0
            known[where, column] = OTHERS
            known[evident, column] = 1.0
        elif example.labels.get(name) is False and name != "lack_of_safety_awareness":
            known[where, column] = 1.0
    if example.labels.get("lack_of_safety_awareness"):
        known[reasoning, SHOWN.index("safety_awareness")] = 1.0
    return SentenceTargets(shown, known)


def _evident(example: Example, document: Document, name: str) -> Tensor:
    quotes = example.evidence.get(name, ())
    texts = [getattr(example.trace, s.field)[s.start : s.end] for s in document.sentences]
    return torch.tensor([overlaps(text, quotes) for text in texts], dtype=torch.bool)


def overlaps(sentence: str, quotes: Sequence[str]) -> bool:
    """Whether a sentence and a piece of evidence share their words."""
    ends = (sentence[:CLIPPED], sentence[-CLIPPED:]) if len(sentence) > CLIPPED else ()
    return any(
        sentence in quote or quote in sentence or any(end in quote for end in ends) for quote in quotes
    )
