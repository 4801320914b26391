"""Score thresholds above which an annotator's label is positive, and how well scores and labels agree with people's labels.

The surprise: a threshold looks better than it is on the labels it was chosen on, and may be worse than none. So thresholds are
cross-validated (for each fifth of the prompts one is chosen on the other four fifths), and one is accepted only if those held-out
labels are better than the annotator's own labels and than a constant answer (`annotators.statistics.acceptance`).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from annotators.statistics.intervals import Interval, wilson
from schemas.ids import content_id

FOLDS = 5
BINS = 10
LEAST = 10
"""Fewest labels of each value, and fewest positive traces, for a threshold to be chosen."""


class ReviewedLabel(NamedTuple):
    """An annotator's label of a trace that people labelled too."""

    score: float | None
    label: bool
    truth: bool
    prompt_id: str
    """Traces of one prompt are held out together."""
    disputed: bool = False
    """True if people were shown the trace since annotators disagreed or were unsure, not at random."""


class ThresholdTarget(NamedTuple):
    """The metric a threshold is chosen for."""

    precision: float | None = None
    """Minimum precision, at the highest recall that reaches it; null for the best macro-F1."""

    @property
    def name(self) -> str:
        """ "precision>=0.9" or "macro-f1"."""
        return "macro-f1" if self.precision is None else f"precision>={self.precision:g}"


class Confusion(NamedTuple):
    """A confusion matrix."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def precision(self) -> float | None:
        """Null without positive labels of the annotator."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Null without positive labels of people."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float | None:
        """Null without positive labels of either."""
        return _ratio(
            2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives
        )

    @property
    def macro_f1(self) -> float:
        """The mean F1 of true and of false labels: a constant answer never exceeds one half."""
        swapped = Confusion(*reversed(self))
        return ((self.f1 or 0.0) + (swapped.f1 or 0.0)) / 2

    @property
    def accuracy(self) -> float | None:
        """Share of right labels."""
        return _ratio(self.true_positives + self.true_negatives, sum(self))

    def intervals(self) -> dict[str, Interval | None]:
        """Wilson's 95 % intervals of precision and recall."""
        said, due = self.true_positives + self.false_positives, self.true_positives + self.false_negatives
        return {
            "precision": wilson(self.true_positives, said) if said else None,
            "recall": wilson(self.true_positives, due) if due else None,
        }


class Bin(NamedTuple):
    """Traces in one score bin."""

    low: float
    high: float
    traces: int
    mean_score: float
    true_share: float
    interval: Interval


def confusion(reviewed: Sequence[ReviewedLabel], threshold: float | None) -> Confusion:
    """The confusion matrix under a threshold; labels without a score are taken as they are."""
    return confusion_of([_is_positive(label, threshold) for label in reviewed], reviewed)


def find_threshold(reviewed: Sequence[ReviewedLabel], target: ThresholdTarget) -> float | None:
    """The threshold that meets a target best.

    Returns:
        Null if no threshold does, there are no scores, people gave fewer than ten labels of either value, or the precision
        is reached only with fewer than ten positive traces.
    """
    truths = [label.truth for label in reviewed]
    if min(truths.count(True), truths.count(False)) < LEAST:
        return None
    confusions = list(_at_each_score(reviewed))
    if target.precision is None:
        score, best = max(confusions, key=lambda pair: (pair[1].macro_f1, pair[0]), default=(None, None))
        return score if best and best.f1 else None
    good = [
        score
        for score, t in confusions
        if (t.precision or 0.0) >= target.precision and t.true_positives + t.false_positives >= LEAST
    ]
    return min(good, default=None)  # a lower threshold never has lower recall


def _at_each_score(reviewed: Sequence[ReviewedLabel]) -> Iterator[tuple[float, Confusion]]:
    """The confusion matrix at each score as a threshold, highest first, in one pass."""
    scored = sorted((-j.score, j.truth) for j in reviewed if j.score is not None)
    fixed = confusion([label for label in reviewed if label.score is None], None)
    positives = sum(truth for _, truth in scored)
    hits = positive = 0
    for place, (score, truth) in enumerate(scored):
        hits, positive = hits + truth, positive + 1
        if place + 1 == len(scored) or scored[place + 1][0] != score:
            misses, wrong = positives - hits, positive - hits
            right = len(scored) - positive - misses
            yield (
                -score,
                Confusion(*(a + b for a, b in zip(fixed, (hits, wrong, misses, right), strict=True))),
            )


def held_out_labels(reviewed: Sequence[ReviewedLabel], target: ThresholdTarget) -> list[bool] | None:
    """The label of each trace under the threshold of the folds without it; null if a fold has no threshold."""
    thresholds = []
    for fold in range(FOLDS):
        threshold = find_threshold([label for label in reviewed if _fold(label) != fold], target)
        if threshold is None:
            return None
        thresholds.append(threshold)
    return [_is_positive(label, thresholds[_fold(label)]) for label in reviewed]


def confusion_of(labels: Sequence[bool], reviewed: Sequence[ReviewedLabel]) -> Confusion:
    """The confusion matrix of other labels than the annotator's own."""
    pairs = [(label, one.truth) for label, one in zip(labels, reviewed, strict=True)]
    return Confusion(
        *(pairs.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False)))
    )


def reliability(reviewed: Sequence[ReviewedLabel]) -> list[Bin]:
    """Reliability diagram in ten bins of equal width: a calibrated score equals the share that people label true."""
    bins = []
    for place in range(BINS):
        low, high = place / BINS, (place + 1) / BINS
        inside = [
            (j.score, j.truth)
            for j in reviewed
            if j.score is not None and (low <= j.score < high or (j.score == 1 and high == 1))
        ]
        if inside:
            true = sum(truth for _, truth in inside)
            mean = sum(score for score, _ in inside) / len(inside)
            bins.append(Bin(low, high, len(inside), mean, true / len(inside), wilson(true, len(inside))))
    return bins


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """Expected calibration error: the mean gap of score and share, weighted by traces; null without scores."""
    total = sum(b.traces for b in bins)
    return sum(b.traces * abs(b.mean_score - b.true_share) for b in bins) / total if total else None


def _is_positive(label: ReviewedLabel, threshold: float | None) -> bool:
    return label.label if threshold is None or label.score is None else label.score >= threshold


def _fold(label: ReviewedLabel) -> int:
    return int(content_id(label.prompt_id)[:8], 16) % FOLDS


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
