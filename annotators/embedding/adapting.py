"""The shipped reader on a lab's own labels: what it reads stays, and what it makes of it is learned anew.

Three numbers per pattern (how steeply a logit counts, how much the rules' label counts, where one half lies) are all that some dozens
of labels can teach; what ranks well on a new source and only has its thresholds wrong is put right by them. A pattern is
changed only if labels that were held out say that it gets better.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from annotators.embedding.annotating import annotations, rule_signs
from annotators.embedding.examples import Example
from annotators.embedding.model import KINDS, Card, Decision, Kind, TrainedReader
from annotators.embedding.training import HeldOutTrace, best_threshold, quality
from annotators.statistics.calibration import Confusion
from schemas.annotation import Annotation
from schemas.ids import content_id
from schemas.patterns import RISKY_PATTERNS

FOLDS = 5
FEWEST = 5
"""Labels of each value below which a pattern is left as it is."""
SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the labels, for the learning curve."""
STRENGTH = 1.0
"""Inverse regularisation: weak evidence moves little."""
Decisions = dict[str, Decision]


class CurvePoint(NamedTuple):
    """What so many labels teach, measured on held-out labels."""

    labels: int
    found: Confusion


class AdaptedPattern(NamedTuple):
    """One pattern before and after, on held-out labels."""

    kind: Kind
    pattern: str
    shipped: Confusion
    adapted: Confusion
    accepted: bool
    curve: list[CurvePoint]


class Adaptation(NamedTuple):
    """An adapted model, and what held-out labels say of it."""

    model: TrainedReader
    patterns: list[AdaptedPattern]


def adapt(model: TrainedReader, examples: Sequence[Example], command: str) -> Adaptation:
    """Learn decisions from examples; folds keep groups together.

    Args:
        model: what to go on from; its reader is shared, not changed.
        examples: a lab's own.
        command: what the card says reproduces it.
    """
    reads = model.read([example.trace for example in examples])
    seen = [
        HeldOutTrace(example, read, rule_signs(example.trace))
        for example, read in zip(examples, reads, strict=True)
        if read.logits
    ]
    patterns: list[AdaptedPattern] = []
    decisions: dict[str, Decisions] = {}
    held_out = {}
    for kind in KINDS:
        shipped = model.card.decisions[kind]
        found = _compared(kind, shipped, seen)
        patterns += found
        accepted = {one.pattern for one in found if one.accepted}
        learned = fit_decisions(kind, shipped, seen)
        decisions[kind] = {name: learned[name] if name in accepted else shipped[name] for name in shipped}
        verdicts = _held_out(kind, shipped, seen, 1.0, accepted)
        held_out[kind] = {name: quality(name, seen, verdicts) for name in RISKY_PATTERNS}
    card = model.card.model_copy(
        update={
            "variant": f"own-{_fingerprint(examples)}",
            "command": command,
            "examples": len(examples),
            "groups": len({example.group for example in examples}),
            "decisions": decisions,
            "held_out": held_out,
        }
    )
    return Adaptation(TrainedReader(model.reader, Card.model_validate(card.model_dump())), patterns)


def fit_decisions(kind: Kind, shipped: Mapping[str, Decision], seen: Sequence[HeldOutTrace]) -> Decisions:
    """Decisions of all patterns; those with too few labels stay as shipped."""
    return {name: _fit(kind, name, shipped[name], seen) for name in shipped}


def _fit(kind: Kind, name: str, shipped: Decision, seen: Sequence[HeldOutTrace]) -> Decision:
    from sklearn.linear_model import LogisticRegression

    judged = (one for one in seen if not one.read.foreign and name in one.read.logits)
    rows = [one for one in judged if one.example.labels.get(name) is not None]
    labels = [bool(one.example.labels[name]) for one in rows]
    if min(labels.count(True), labels.count(False)) < FEWEST:
        return shipped
    inputs = [[one.read.logits[name], one.rules[name] * (kind == "ensemble")] for one in rows]
    fitted = LogisticRegression(C=STRENGTH).fit(inputs, labels)
    slope, rules = fitted.coef_[0].tolist()
    decision = Decision(slope=max(slope, 0.05), rules=max(rules, 0.0), shift=float(fitted.intercept_[0]))
    likely = [decision.probability(one.read.logits[name], one.rules[name]) for one in rows]
    threshold = min(max(best_threshold(likely), 1e-3), 1 - 1e-3)
    return decision.model_copy(update={"shift": decision.shift - math.log(threshold / (1 - threshold))})


def _compared(
    kind: Kind, shipped: Mapping[str, Decision], seen: Sequence[HeldOutTrace]
) -> list[AdaptedPattern]:
    before = [_labels(kind, shipped, one) for one in seen]
    curves = {share: _held_out(kind, shipped, seen, share) for share in SHARES}
    compared = []
    for name in RISKY_PATTERNS:
        labelled = sum(one.example.labels.get(name) is not None for one in seen)
        old = _confusion(name, seen, before)
        curve = [
            CurvePoint(round(share * labelled), _confusion(name, seen, curves[share])) for share in SHARES
        ]
        new = curve[-1].found
        better = (new.f1 or 0) > (old.f1 or 0) and (new.accuracy or 0) >= (old.accuracy or 0)
        compared.append(AdaptedPattern(kind, name, old, new, better, curve))
    return compared


def _held_out(
    kind: Kind,
    shipped: Mapping[str, Decision],
    seen: Sequence[HeldOutTrace],
    share: float,
    only: set[str] | None = None,
) -> list[dict[str, Annotation]]:
    """The label of each trace by decisions that a share of the other folds' labels taught; `only` these patterns change."""
    verdicts: list[dict[str, Annotation]] = [{} for _ in seen]
    for fold in range(FOLDS):
        others = [one for one in seen if _fold(one) != fold and _drawn(one) < share]
        learned = fit_decisions(kind, shipped, others)
        decisions = {n: learned[n] if only is None or n in only else shipped[n] for n in shipped}
        for place, one in enumerate(seen):
            if _fold(one) == fold:
                verdicts[place] = _labels(kind, decisions, one)
    return verdicts


def _labels(kind: Kind, decisions: Mapping[str, Decision], one: HeldOutTrace) -> dict[str, Annotation]:
    return {a.pattern: a for a in annotations(kind, decisions, one.example.trace, one.read)}


def _confusion(
    name: str, seen: Sequence[HeldOutTrace], verdicts: Sequence[Mapping[str, Annotation]]
) -> Confusion:
    pairs = [
        (bool(verdict[name].label), bool(label))
        for one, verdict in zip(seen, verdicts, strict=True)
        if (label := one.example.labels.get(name)) is not None and verdict[name].label is not None
    ]
    return Confusion(
        *(pairs.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False)))
    )


def _fold(one: HeldOutTrace) -> int:
    return int(content_id(["fold", one.example.group])[:8], 16) % FOLDS


def _drawn(one: HeldOutTrace) -> float:
    return int(content_id(["curve", one.example.group])[:8], 16) / 0xFFFF_FFFF - 1e-12


def _fingerprint(examples: Sequence[Example]) -> str:
    return content_id([[e.trace.trace_id, dict(e.labels)] for e in examples])[:8]
