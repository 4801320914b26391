"""Annotator weights: estimated from people's labels (`weighted`) or from the annotators' agreement (`dawid_skene`).

Both estimate each annotator's sensitivity and specificity per pattern; a trace's consensus label is then the posterior under
independent annotators (naive Bayes). The surprise: Dawid and Skene's estimate needs only how often each combination of labels
occurs, not the single traces, so ten million traces cost as much as a thousand. That, and clamping to people's labels, is why
it is thirty lines here and not a library (crowd-kit works on one row per label in pandas).

Source: A. P. Dawid, A. M. Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm" (1979).
"""

from collections.abc import Mapping, Sequence
from math import exp, log
from typing import NamedTuple

PEOPLE = ("human:", "adjudicator:")
"""How the names of annotators begin who are people."""
ROUNDS = 500
SETTLED = 1e-7
MIN_ANNOTATORS = 3
"""Fewer annotators cannot be told apart by their agreement alone."""


class LabelCombination(NamedTuple):
    """How often a combination of labels of one pattern occurs."""

    labels: Mapping[str, bool]
    """Annotator -> label; without those that abstained."""
    truth: bool | None
    """The majority label of people."""
    traces: int


class AnnotatorRates(NamedTuple):
    """Sensitivity and specificity of one annotator on one pattern."""

    sensitivity: float
    """Share of the traces with the pattern that it labels true."""
    specificity: float
    """Share of the traces without the pattern that it labels false."""

    @property
    def if_true(self) -> float:
        """Log odds that a true label adds."""
        return log(self.sensitivity / (1 - self.specificity))

    @property
    def if_false(self) -> float:
        """Log odds that a false label adds; negative for an annotator that is better than chance."""
        return log((1 - self.sensitivity) / self.specificity)


class ConsensusWeights(NamedTuple):
    """The weights that decide the consensus of one pattern."""

    prior: float
    """Log odds of the pattern before any label."""
    annotators: dict[str, AnnotatorRates]


def without_people(combinations: Sequence[LabelCombination]) -> list[LabelCombination]:
    """The combinations without people's labels; those that are then empty are left out."""
    without_people = []
    for labels, truth, traces in combinations:
        left = {name: label for name, label in labels.items() if not name.startswith(PEOPLE)}
        if left:
            without_people.append(LabelCombination(left, truth, traces))
    return without_people


def measured_weights(combinations: Sequence[LabelCombination]) -> ConsensusWeights | None:
    """Rates on people's labels, with one trace of each kind added (Laplace); null unless people gave both labels."""
    known = [combination for combination in combinations if combination.truth is not None]
    if {combination.truth for combination in known} != {True, False}:
        return None
    return _maximise(known, [float(bool(combination.truth)) for combination in known])


def dawid_skene(combinations: Sequence[LabelCombination]) -> ConsensusWeights | None:
    """Rates by expectation maximisation, starting from the majority; people's labels are taken as the truth.

    Returns:
        Null if not identifiable: fewer than three annotators, and people did not give both labels.
    """
    names = {name for combination in combinations for name in combination.labels}
    if len(names) < MIN_ANNOTATORS and measured_weights(combinations) is None:
        return None
    beliefs = [
        _share(combination) if combination.truth is None else float(combination.truth)
        for combination in combinations
    ]
    for _ in range(ROUNDS):
        weights = _maximise(combinations, beliefs)
        before, beliefs = beliefs, [_belief(combination, weights) for combination in combinations]
        if max(abs(a - b) for a, b in zip(before, beliefs, strict=True)) < SETTLED:
            break
    return weights


def posterior(labels: Mapping[str, bool], weights: ConsensusWeights) -> float:
    """Probability of the pattern given labels; annotators without rates are ignored."""
    known = [
        (weights.annotators[name], label) for name, label in labels.items() if name in weights.annotators
    ]
    odds = weights.prior + sum(r.if_true if label else r.if_false for r, label in known)
    return 1 / (1 + exp(-odds)) if odds > -500 else 0.0


def _maximise(combinations: Sequence[LabelCombination], beliefs: Sequence[float]) -> ConsensusWeights:
    positive = sum(b.traces * p for b, p in zip(combinations, beliefs, strict=True))
    total = sum(b.traces for b in combinations)
    sums: dict[str, list[float]] = {}
    """Of each annotator: hits, positives, correct rejections, negatives."""
    for (labels, _, traces), belief in zip(combinations, beliefs, strict=True):
        for name, label in labels.items():
            counted = sums.setdefault(name, [0.0] * 4)
            counted[1] += traces * belief
            counted[3] += traces * (1 - belief)
            counted[0 if label else 2] += traces * (belief if label else 1 - belief)
    annotators = {
        name: AnnotatorRates((hits + 1) / (positives + 2), (rejected + 1) / (negatives + 2))
        for name, (hits, positives, rejected, negatives) in sorted(sums.items())
    }
    return ConsensusWeights(log((positive + 1) / (total - positive + 1)), annotators)


def _share(combination: LabelCombination) -> float:
    return sum(combination.labels.values()) / len(combination.labels)


def _belief(combination: LabelCombination, weights: ConsensusWeights) -> float:
    return posterior(combination.labels, weights) if combination.truth is None else float(combination.truth)
