"""The whole way to an annotator: learn without some hands, calibrate and measure on these, then learn from everything.

`curate train-annotator` makes the shipped one so.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from annotators.benchmark import edits, labelled
from annotators.embedding.annotating import annotations, rule_signs
from annotators.embedding.examples import Example, from_labelled, overlaps, untouched
from annotators.embedding.learning import Advance, Schedule, fit, steps
from annotators.embedding.model import (
    KINDS,
    Card,
    Decision,
    HeldOutScore,
    Kind,
    Read,
    TrainedReader,
    read_all,
)
from annotators.embedding.reader import Reader
from schemas.annotation import Annotation
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

NAME = "7"
COMMAND = "curate train-annotator --star1 star1.json --real-text real_text"
KEPT = f"{COMMAND} --keep-weights"
CALIBRATION_HANDS = ("n7", "n8", "t1", "t2", "t3", "t4")
"""Held out for the decisions, together with the test split."""
LATER_HANDS = ("t3", "t4", "n20", "n21", "n22")
"""Written or released after the shipped weights had learned: its decisions come from them (`later`)."""
UNTOUCHED = 0.6
"""What a trace of STAR-1 that nobody edited weighs against a labelled one."""
FALSE_ALARMS = 0.01
"""Share of untouched traces that a threshold may flag with one pattern."""
AFTERWARDS = Schedule(still=0, tuned=2)
"""How a reader that is calibrated goes on to learn from what it was calibrated on."""
FEWEST = 5
"""True labels below which a pattern keeps its logits as they are."""


class Lessons(NamedTuple):
    """What is learned from, and what was held back."""

    learn: list[Example]
    calibrate: list[Example]
    """Of hands that share no source with `learn`."""
    clean: list[Example]
    """Untouched traces that are never learned from."""
    skipped: dict[str, int]
    """Rows of the labelled set that could not be put together, by reason."""


def gather(star1: Path | None, real_text: Path | None) -> Lessons:
    """All labelled rows but those of the hands that are only measured on, and untouched traces of STAR-1.

    Args:
        star1: STAR-1's file; without it only rows that were written anew can be used.
        real_text: a folder of further rows in full.

    Raises:
        DataError: if a file cannot be read.
    """
    sources = edits.star1(star1) if star1 else {}
    further = labelled.load_folder(real_text) if real_text else []
    loaded = edits.load(sources, *(hand for hand in edits.hands() if hand not in edits.HELD_OUT))
    measured = edits.held_out_sources()
    items, further = (
        [item for item in found if item.source not in measured] for found in (loaded.items, further)
    )
    held = [*labelled.load("test"), *(item for item in items if item.batch in CALIBRATION_HANDS)]
    rest = [*labelled.load("dev"), *(item for item in items if item.batch not in CALIBRATION_HANDS)]
    clean = edits.untouched(sources, further)
    learn = [*from_labelled([*rest, *further]), *untouched(clean.learn, UNTOUCHED)]
    away = {item.source for item in held}
    return Lessons(
        learn=[example for example in learn if example.group not in away],
        calibrate=[*from_labelled(held), *(example for example in learn if example.group in away)],
        clean=untouched(clean.measure, UNTOUCHED),
        skipped=loaded.skipped,
    )


def later(star1: Path, real_text: Path | None) -> tuple[list[Example], dict[str, int]]:
    """The rows that the shipped weights have not learned from, and untouched traces; and rows that could not be put together, by reason.

    Arguments and errors are those of `gather`.
    """
    measured = edits.held_out_sources()
    loaded = edits.load(edits.star1(star1), *LATER_HANDS)
    rows = [item for item in loaded.items if item.source not in measured]
    return [*from_labelled(rows), *gather(star1, real_text).clean], loaded.skipped


def train(
    lessons: Lessons,
    schedule: Schedule | None = None,
    base: Path | None = None,
    advance: Advance = int,
    command: str = COMMAND,
) -> TrainedReader:
    """A model that has learned from everything, with decisions and figures from one that had not.

    Args:
        lessons: what to learn from.
        schedule: how long, each time.
        base: a folder with an encoder; None for MiniLM's first layers.
        advance: told after every step; `length` says how many there are.
        command: what the card says reproduces it.

    Raises:
        MissingExtraError: if the extra `models` is not installed.
        EngineError: if the encoder cannot be loaded.
    """
    apart = fit(lessons.learn, schedule, base, advance=advance)
    everything = [*lessons.learn, *lessons.calibrate]
    card = Card(
        name=NAME,
        command=command,
        encoder=str(base) if base else None,
        examples=len(everything),
        groups=len({example.group for example in everything}),
        **calibrated(lessons, apart)._asdict(),
    )
    return TrainedReader(fit(everything, AFTERWARDS, init=apart, advance=advance), card)


def length(lessons: Lessons, schedule: Schedule) -> int:
    """How many steps `train` takes."""
    return steps(lessons.learn, schedule) + steps([*lessons.learn, *lessons.calibrate], AFTERWARDS)


class HeldOutResult(NamedTuple):
    """Decisions, and how good they are; see `Card`."""

    decisions: dict[str, dict[str, Decision]]
    held_out: dict[str, dict[str, HeldOutScore]]
    false_alarms: dict[str, float]


class HeldOutTrace(NamedTuple):
    """A held-out trace."""

    example: Example
    read: Read
    rules: dict[str, float]


def calibrated(lessons: Lessons, reader: Reader) -> HeldOutResult:
    """Decisions of a reader that learned from `lessons.learn` alone, and its figures on the rest."""
    held = [*lessons.calibrate, *lessons.clean]
    reads = read_all(reader, [example.trace for example in held])
    seen = [
        HeldOutTrace(e, read, rule_signs(e.trace)) for e, read in zip(held, reads, strict=True) if read.logits
    ]
    clean = [s for s in seen if s.example.weight == UNTOUCHED]
    decisions: dict[str, dict[str, Decision]] = {
        kind: {name: _decision(kind, name, seen, clean) for name in RISKY_PATTERNS} for kind in KINDS
    }
    verdicts = {
        kind: [
            {a.pattern: a for a in annotations(kind, decisions[kind], s.example.trace, s.read)} for s in seen
        ]
        for kind in KINDS
    }
    return HeldOutResult(
        decisions,
        {kind: {p: quality(p, seen, verdicts[kind]) for p in RISKY_PATTERNS} for kind in KINDS},
        {kind: flagged(seen, verdicts[kind]) for kind in KINDS},
    )


def _decision(kind: Kind, name: str, seen: Sequence[HeldOutTrace], clean: Sequence[HeldOutTrace]) -> Decision:
    """Platt's calibration on held-out rows, shifted so that one half is the best threshold."""
    from sklearn.linear_model import LogisticRegression

    rows = [s for s in seen if s.example.weight == 1 and s.example.labels.get(name) is not None]
    labels = [bool(s.example.labels[name]) for s in rows]
    if sum(labels) < FEWEST:
        return Decision(slope=1.0, shift=0.0)
    inputs = [[s.read.logits[name], s.rules[name] * (kind == "ensemble")] for s in rows]
    model = LogisticRegression(C=100.0).fit(inputs, labels)
    slope, rules = model.coef_[0].tolist()
    decision = Decision(slope=max(slope, 0.05), rules=max(rules, 0.0), shift=float(model.intercept_[0]))

    def likely(s: HeldOutTrace) -> float:
        return decision.probability(s.read.logits[name], s.rules[name])

    flagged = sorted(map(likely, clean), reverse=True)
    least = flagged[int(len(flagged) * FALSE_ALARMS)] if flagged else 0.0
    threshold = max(best_threshold(list(map(likely, rows))), least + 1e-3)
    return decision.model_copy(update={"shift": decision.shift - math.log(threshold / (1 - threshold))})


def best_threshold(likely: Sequence[float]) -> float:
    """The threshold with the best expected F1 if these probabilities hold, halfway between two of them.

    Expected, not counted: with a few dozen true labels the best count is luck.
    """
    ordered = sorted(likely, reverse=True)
    hits, best, threshold = 0.0, -1.0, 0.5
    for found, (one, following) in enumerate(pairwise([*ordered, 0.0]), 1):
        hits += one
        if 2 * hits / (found + sum(ordered)) > best:
            best, threshold = 2 * hits / (found + sum(ordered)), (one + following) / 2
    return threshold


def quality(
    name: str, seen: Sequence[HeldOutTrace], verdicts: Sequence[Mapping[str, Annotation]]
) -> HeldOutScore:
    """How well a pattern is found on held-out traces."""
    from sklearn.metrics import roc_auc_score

    rows = [
        (s.example, verdict[name], label)
        for s, verdict in zip(seen, verdicts, strict=True)
        if (label := s.example.labels.get(name)) is not None and verdict[name].label is not None
    ]
    truth = [label for _, _, label in rows]
    found = sum(bool(verdict.label) for _, verdict, _ in rows)
    hits = [(example, verdict) for example, verdict, label in rows if label and verdict.label]
    touched = sum(
        touches(verdict, example.trace, example.evidence.get(name, ())) for example, verdict in hits
    )
    both = 0 < sum(truth) < len(truth)
    return HeldOutScore(
        traces=len(rows),
        true=sum(truth),
        precision=len(hits) / max(1, found),
        recall=len(hits) / max(1, sum(truth)),
        f1=2 * len(hits) / max(1, found + sum(truth)),
        span_hits=touched / max(1, len(hits)),
        auc=float(roc_auc_score(truth, [verdict.score for _, verdict, _ in rows])) if both else 0.5,
    )


def flagged(seen: Sequence[HeldOutTrace], verdicts: Sequence[Mapping[str, Annotation]]) -> float:
    """Share of untouched traces that are flagged with any pattern."""
    flags = [
        any(a.label for a in verdict.values())
        for s, verdict in zip(seen, verdicts, strict=True)
        if s.example.weight == UNTOUCHED
    ]
    return sum(flags) / max(1, len(flags))


def touches(annotation: Annotation, trace: Trace, quotes: Sequence[str]) -> bool:
    """Whether a verdict's spans and the written evidence share words."""
    return any(overlaps(getattr(trace, s.field)[s.start : s.end], quotes) for s in annotation.spans)
