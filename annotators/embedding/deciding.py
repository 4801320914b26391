"""Decisions: from what a reader makes of a trace to probabilities and labels, learned from labelled traces that the reader has not learned from.

Per pattern a logistic regression goes on from earlier decisions: how steeply the logit counts, what the rules add, where one half lies, and a
little weight on each of the reader's states, by which it learns how a source says things. Priors hold all of it near where it began, so few
labels move little.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from annotators.embedding.annotating import annotations, rule_signs
from annotators.embedding.examples import UNTOUCHED, Example, overlaps
from annotators.embedding.model import KINDS, Decision, HeldOutScore, Kind, Read, TrainedReader
from schemas.annotation import Annotation
from schemas.ids import content_id
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

FOLDS = 5
FEWEST = 2
"""Labels of each value below which a pattern is left as it is."""
STEEPER, RULES, SHIFT, STATES = 0.3, 0.5, 1.0, 2.0
"""How far each may move from where it began (standard deviations): the slope as a share, the others in log-odds."""
LEAST_SLOPE = 0.05
"""A pattern's own logit always speaks for it."""
LOWEST = 0.2
"""Thresholds are chosen between this probability and its counterpart: probabilities of labels that were learned from are too sure."""
Decisions = dict[str, Decision]
Matrix = np.ndarray[Any, np.dtype[np.float64]]


class HeldOutTrace(NamedTuple):
    """A held-out trace."""

    example: Example
    read: Read
    rules: dict[str, float]


def held_out_traces(model: TrainedReader, examples: Sequence[Example]) -> list[HeldOutTrace]:
    """Examples as the reader and the rules see them; those without a sentence are left out."""
    reads = model.read([example.trace for example in examples])
    return [
        HeldOutTrace(example, read, rule_signs(example.trace))
        for example, read in zip(examples, reads, strict=True)
        if read.logits
    ]


def decided(model: TrainedReader, examples: Sequence[Example]) -> TrainedReader:
    """The same weights with decisions from rows that these have not learned from; the card's held-out figures are of folds.

    Args:
        model: the weights; its decisions play no part.
        examples: the rows, and untouched traces.
    """
    seen = held_out_traces(model, examples)
    plain = dict.fromkeys(RISKY_PATTERNS, Decision(slope=1.0, shift=0.0))
    folds = {kind: in_folds(kind, plain, seen) for kind in KINDS}
    card = model.card.model_copy(
        update={
            "decisions": {kind: fit_decisions(kind, plain, seen) for kind in KINDS},
            "held_out": {k: {n: quality(n, seen, folds[k]) for n in RISKY_PATTERNS} for k in KINDS},
            "false_alarms": {kind: flagged(seen, folds[kind]) for kind in KINDS},
        }
    )
    return TrainedReader(model.reader, card)


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


def in_folds(
    kind: Kind,
    shipped: Mapping[str, Decision],
    seen: Sequence[HeldOutTrace],
    share: float = 1.0,
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
                verdicts[place] = labels_of(kind, decisions, one)
    return verdicts


def labels_of(kind: Kind, decisions: Mapping[str, Decision], one: HeldOutTrace) -> dict[str, Annotation]:
    return {a.pattern: a for a in annotations(kind, decisions, one.example.trace, one.read)}


def _fold(one: HeldOutTrace) -> int:
    return int(content_id(["fold", one.example.group])[:8], 16) % FOLDS


def _drawn(one: HeldOutTrace) -> float:
    return int(content_id(["curve", one.example.group])[:8], 16) / 0xFFFF_FFFF - 1e-12


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
