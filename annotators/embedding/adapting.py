"""The shipped reader on a lab's own labels: what it reads stays, and what it makes of it is learned anew.

Per pattern a logistic regression goes on from the shipped decision: how steeply the logit counts, what the rules add, where one half lies, and a
little weight on each of the reader's states, by which it learns how this source says things. Priors hold all of it near the shipped one, so
few labels move little. A pattern is changed only if labels that were held out say that it gets better.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from annotators.embedding.annotating import annotations, rule_signs
from annotators.embedding.examples import Example
from annotators.embedding.model import KINDS, Decision, Kind, TrainedReader
from annotators.embedding.training import (
    NAME,
    HeldOutTrace,
    best_threshold,
    flagged,
    quality,
)
from annotators.statistics.calibration import Confusion
from schemas.annotation import Annotation
from schemas.ids import content_id
from schemas.patterns import RISKY_PATTERNS

FOLDS = 5
FEWEST = 2
"""Labels of each value below which a pattern is left as it is."""
SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the labels, for the learning curve."""
STEEPER, RULES, SHIFT, STATES = 0.3, 0.5, 1.0, 2.0
"""How far each may move from the shipped decision (standard deviations): the slope as a share, the others in log-odds."""
LEAST_SLOPE = 0.05
"""A pattern's own logit always speaks for it."""
LOWEST = 0.2
"""Thresholds are chosen between this probability and its counterpart: probabilities of labels that were learned from are too sure."""
Decisions = dict[str, Decision]
Matrix = np.ndarray[Any, np.dtype[np.float64]]


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
    seen = held_out_traces(model, examples)
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
    return Adaptation(TrainedReader(model.reader, card), patterns)


def decide_anew(model: TrainedReader, examples: Sequence[Example], command: str) -> TrainedReader:
    """The same weights, with decisions from rows of the labelled set that these have not learned from; held-out figures are of folds.

    Args:
        model: the weights; its decisions play no part.
        examples: the rows, and untouched traces.
        command: what reproduces it.
    """
    seen = held_out_traces(model, examples)
    plain = dict.fromkeys(RISKY_PATTERNS, Decision(slope=1.0, shift=0.0))
    folds = {kind: _held_out(kind, plain, seen, 1.0) for kind in KINDS}
    card = model.card.model_copy(
        update={
            "name": NAME,
            "command": command,
            "decisions": {kind: fit_decisions(kind, plain, seen) for kind in KINDS},
            "held_out": {k: {n: quality(n, seen, folds[k]) for n in RISKY_PATTERNS} for k in KINDS},
            "false_alarms": {kind: flagged(seen, folds[kind]) for kind in KINDS},
        }
    )
    return TrainedReader(model.reader, card)


def held_out_traces(model: TrainedReader, examples: Sequence[Example]) -> list[HeldOutTrace]:
    """Examples as the reader and the rules see them; those without a sentence are left out."""
    reads = model.read([example.trace for example in examples])
    return [
        HeldOutTrace(example, read, rule_signs(example.trace))
        for example, read in zip(examples, reads, strict=True)
        if read.logits
    ]


def learned_decisions(kind: Kind, shipped: Mapping[str, Decision], seen: Sequence[HeldOutTrace]) -> Decisions:
    """As `adapt` decides: learned where folds say that it is better, else as shipped."""
    before = [_labels(kind, shipped, one) for one in seen]
    after = _held_out(kind, shipped, seen, 1.0)
    learned = fit_decisions(kind, shipped, seen)
    better = {n for n in shipped if _better(_confusion(n, seen, before), _confusion(n, seen, after))}
    return {name: learned[name] if name in better else shipped[name] for name in shipped}


def _better(old: Confusion, new: Confusion) -> bool:
    return (new.f1 or 0) > (old.f1 or 0) and (new.accuracy or 0) >= (old.accuracy or 0)


def fit_decisions(kind: Kind, shipped: Mapping[str, Decision], seen: Sequence[HeldOutTrace]) -> Decisions:
    """Decisions of all patterns; those with too few labels stay as shipped."""
    return {name: _fit(kind, name, shipped[name], seen) for name in shipped}


def _fit(kind: Kind, name: str, shipped: Decision, seen: Sequence[HeldOutTrace]) -> Decision:
    judged = (one for one in seen if not one.read.foreign and name in one.read.logits)
    rows = [one for one in judged if one.example.labels.get(name) is not None]
    labels = [bool(one.example.labels[name]) for one in rows]
    if min(labels.count(True), labels.count(False)) < FEWEST:
        return shipped
    signs = np.array([one.rules[name] * (kind == "ensemble") for one in rows])
    logits = np.array([one.read.logits[name] for one in rows])
    states = np.array([one.read.states for one in rows])
    known = np.array(shipped.own or np.zeros(states.shape[1]))
    odds = shipped.slope * logits + shipped.rules * signs + shipped.shift + states @ known
    middle = states.mean(0)
    scale = STATES / (states.std(0) + 1e-6) / math.sqrt(states.shape[1])
    inputs = np.column_stack(
        [STEEPER * odds, RULES * signs, SHIFT * np.ones(len(rows)), (states - middle) * scale]
    )
    moved = _moved(inputs, odds, np.array(labels, float))
    steeper, further = max(LEAST_SLOPE, 1 + STEEPER * float(moved[0])), scale * moved[3:]
    slope, own = shipped.slope * steeper, known * steeper + further
    rules = max(0.0, shipped.rules * steeper + RULES * float(moved[1]))
    shift = shipped.shift * steeper + SHIFT * float(moved[2]) - float(further @ middle)
    now = slope * logits + rules * signs + shift + states @ own
    threshold = best_threshold((1 / (1 + np.exp(-now))).tolist())
    threshold = min(max(threshold, LOWEST), 1 - LOWEST)
    return Decision(
        slope=slope, rules=rules, shift=shift - math.log(threshold / (1 - threshold)), own=tuple(own.tolist())
    )


def _moved(inputs: Matrix, odds: Matrix, labels: Matrix) -> Matrix:
    """The likeliest weights of a logistic regression that begins at some log-odds, each with a prior of variance one."""
    from scipy.optimize import minimize

    def surprise(weights: Matrix) -> tuple[float, Matrix]:
        now = odds + inputs @ weights
        wrong = 1 / (1 + np.exp(-now)) - labels
        loss = np.logaddexp(0, now) - labels * now
        return float(loss.sum() + weights @ weights / 2), inputs.T @ wrong + weights

    found: Matrix = minimize(surprise, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B").x
    return found


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
        compared.append(AdaptedPattern(kind, name, old, new, _better(old, new), curve))
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
