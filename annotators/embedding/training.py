"""The whole way to an annotator: learn without some hands and read these, decide where labels begin, then learn from everything.

`curate train-annotator` makes the shipped one so.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from annotators.benchmark import edits, labelled
from annotators.embedding.annotating import annotations, rule_signs
from annotators.embedding.examples import Example, from_labelled, overlaps, untouched
from annotators.embedding.learning import Advance, Schedule, fit, remember, steps
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
from annotators.embedding.reading import Window, read
from schemas.annotation import Annotation
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

NAME = "5"
COMMAND = "curate train-annotator --star1 star1.json --real-text real_text"
FOLDS = 3
UNTOUCHED = 0.6
"""What a trace of STAR-1 that nobody edited weighs against a labelled one."""
FALSE_ALARMS = 0.01
"""Share of untouched traces that a threshold may flag with one pattern."""
FEWEST = 5
"""True labels below which a pattern keeps its logits as they are."""


class Lessons(NamedTuple):
    """What is learned from, and what was held back."""

    learn: list[Example]
    clean: list[Example]
    """Untouched traces that are never learned from."""
    skipped: dict[str, int]
    """Rows of the labelled set that could not be put together, by reason."""


class Fold(NamedTuple):
    """Some hands, and everything that knows nothing of them."""

    learn: list[Example]
    held: list[Example]


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
    clean = edits.untouched(sources, further)
    written = [from_labelled(labelled.load(split), hand=split) for split in labelled.SPLITS]
    learn = [*from_labelled([*loaded.items, *further]), *untouched(clean.learn, UNTOUCHED)]
    learn += [example for split in written for example in split]
    return Lessons(learn, untouched(clean.measure, UNTOUCHED), loaded.skipped)


def folds(examples: Sequence[Example]) -> list[Fold]:
    """Hands left out in turn, a fold of several each, and with them all that was made of the same sources."""
    sizes = Counter(example.hand for example in examples if example.hand)
    shares: list[list[str]] = [[] for _ in range(FOLDS)]
    for hand, _ in sizes.most_common():
        min(shares, key=lambda share: sum(sizes[name] for name in share)).append(hand)
    made = []
    for share in shares:
        held = [example for example in examples if example.hand in share]
        away = {example.group for example in held}
        made.append(Fold([e for e in examples if e.group not in away], held))
    return made


def train(
    lessons: Lessons,
    schedule: Schedule,
    base: Path | None = None,
    advance: Advance = int,
    command: str = COMMAND,
) -> TrainedReader:
    """A model that has learned from everything, with decisions and figures of models that had not seen the hand.

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
    known: dict[Window, Tensor] = {}
    seen = []
    for fold in folds(lessons.learn):
        apart = fit(fold.learn, schedule, base, known, heads=1, advance=advance)
        seen += held_out(apart, [*fold.held, *lessons.clean], None if schedule.tuned else known)
    card = Card(
        name=NAME,
        command=command,
        encoder=str(base) if base else None,
        examples=len(lessons.learn),
        groups=len({example.group for example in lessons.learn}),
        **decided(seen)._asdict(),
    )
    return TrainedReader(fit(lessons.learn, schedule, base, known, advance=advance), card)


def length(lessons: Lessons, schedule: Schedule) -> int:
    """How many steps `train` takes."""
    parts = [fold.learn for fold in folds(lessons.learn)]
    return sum(steps(part, schedule) for part in [*parts, lessons.learn])


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


def held_out(
    reader: Reader, examples: Sequence[Example], known: dict[Window, Tensor] | None = None
) -> list[HeldOutTrace]:
    """Examples as a reader sees them that has not learned from them; `known` is added to."""
    traces = [example.trace for example in examples]
    if known is not None:
        remember(reader, read(traces, reader.encoder.tokenizer), known)
    reads = read_all(reader, traces, known)
    pairs = zip(examples, reads, strict=True)
    return [HeldOutTrace(e, read, rule_signs(e.trace)) for e, read in pairs if read.logits]


def decided(seen: Sequence[HeldOutTrace]) -> HeldOutResult:
    """Decisions from held-out traces, and how good they are on them."""
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
        {kind: _flagged(seen, verdicts[kind]) for kind in KINDS},
    )


def _decision(kind: Kind, name: str, seen: Sequence[HeldOutTrace], clean: Sequence[HeldOutTrace]) -> Decision:
    """Platt's calibration on held-out rows, shifted so that one half is the best threshold."""
    from sklearn.linear_model import LogisticRegression

    known = [s for s in seen if s.example.labels.get(name) is not None and not s.read.foreign]
    rows = [s for s in known if s.example.weight == 1]
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


def _flagged(seen: Sequence[HeldOutTrace], verdicts: Sequence[Mapping[str, Annotation]]) -> float:
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
