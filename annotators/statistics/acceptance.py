"""Whether a threshold may replace an annotator's own labels: only where held-out labels show that it is better.

Four ways in which calibration can hurt are ruled out: a threshold that is luck (it must win in 95 of 100 resamples of the
held-out labels), one that calls nearly everything true (a constant answer scores well where most labels are true), one between
the few values of a coarse score, and one that fits disputed traces and no others.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from annotators.statistics.calibration import (
    LEAST,
    Confusion,
    ReviewedLabel,
    ThresholdTarget,
    confusion,
    confusion_of,
    find_threshold,
    held_out_labels,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95
LEAST_VALUES = 10
"""Scores with fewer distinct values, or with fewer than three that are common, are coarse."""
COMMON = 3.0


class ThresholdChoice(NamedTuple):
    """A threshold, or why the annotator's own labels are kept."""

    threshold: float | None
    why: str
    held_out: Confusion | None
    """What the thresholds of the folds do on the traces that did not choose them, accepted or not."""


def choose_threshold(reviewed: Sequence[ReviewedLabel], target: ThresholdTarget) -> ThresholdChoice:
    """The threshold that meets a target, if held-out labels show that it beats the annotator's own labels."""
    truths = [label.truth for label in reviewed]
    if min(truths.count(True), truths.count(False)) < LEAST:
        return ThresholdChoice(None, f"fewer than {LEAST} labels of each value", None)
    if _coarse(reviewed):
        return ThresholdChoice(None, "its scores are too coarse", None)
    threshold = find_threshold(reviewed, target)
    labels = held_out_labels(reviewed, target) if threshold is not None else None
    if threshold is None or labels is None:
        return ThresholdChoice(None, "no threshold reaches the target", None)
    outside = confusion_of(labels, reviewed)
    fault = _fault(reviewed, labels, outside, target)
    return ThresholdChoice(None if fault else threshold, fault or "accepted", outside)


def _fault(
    reviewed: Sequence[ReviewedLabel], labels: Sequence[bool], outside: Confusion, target: ThresholdTarget
) -> str:
    """Why held-out labels do not support a threshold; "" if they do."""
    own = confusion(reviewed, None)
    if not _beats_constants(outside):
        return "no better than a constant answer"
    better = _precise(own, outside, target.precision) if target.precision else _better(reviewed, labels)
    if not better:
        return "no better than its own labels" if not target.precision else "precision not reached"
    random = [place for place, label in enumerate(reviewed) if not label.disputed]
    if len(random) == len(reviewed):
        return ""
    if len(random) < 2 * LEAST:
        return "nearly all labels are of disputed traces"
    sample = [reviewed[place] for place in random]
    shown = confusion_of([labels[place] for place in random], sample)
    if (shown.accuracy or 0) < (confusion(sample, None).accuracy or 0):
        return "worse than its own labels on traces that nobody disputed"
    return ""


def _better(reviewed: Sequence[ReviewedLabel], labels: Sequence[bool]) -> bool:
    """Macro-F1 is higher in nearly all resamples, and neither F1 nor accuracy is lower."""
    own, new = confusion(reviewed, None), confusion_of(labels, reviewed)
    if (new.f1 or 0) < (own.f1 or 0) or (new.accuracy or 0) < (own.accuracy or 0):
        return False
    drawn = _resampled([(one.label, label, one.truth) for one, label in zip(reviewed, labels, strict=True)])
    return bool((_macro_f1(drawn.sum(axis=1)) > _macro_f1(drawn.sum(axis=2))).mean() >= CONFIDENCE)


def _precise(own: Confusion, outside: Confusion, precision: float) -> bool:
    """The wanted precision is within the held-out interval, and the annotator's own labels do not reach it at a higher recall."""
    reached = outside.intervals()["precision"]
    if reached is None or reached.high < precision:
        return False
    return (own.precision or 0) < precision or (own.recall or 0) < (outside.recall or 0)


def _beats_constants(outside: Confusion) -> bool:
    """Youden's index (sensitivity + specificity - 1) is positive in nearly all resamples: that of a constant answer is 0."""
    drawn = _resampled(
        [(label, truth) for (label, truth), n in _cells(outside).items() for _ in range(n)]
    ).astype(float)
    positives, negatives = drawn[:, :, 1].sum(axis=1), drawn[:, :, 0].sum(axis=1)
    index = drawn[:, 1, 1] * negatives - drawn[:, 1, 0] * positives
    return bool((index > 0).mean() >= CONFIDENCE)


def _cells(found: Confusion) -> dict[tuple[bool, bool], int]:
    return {
        (True, True): found.true_positives,
        (True, False): found.false_positives,
        (False, True): found.false_negatives,
        (False, False): found.true_negatives,
    }


def _resampled(rows: Sequence[tuple[bool, ...]]) -> "NDArray[Any]":
    """Bootstrap counts of rows of booleans: (resamples, 2, 2, ...), one axis per boolean."""
    import numpy as np

    counts = np.zeros((2,) * len(rows[0]))
    for row, n in Counter(rows).items():
        counts[tuple(map(int, row))] = n
    flat = np.random.default_rng(0).multinomial(len(rows), counts.ravel() / len(rows), size=RESAMPLES)
    return flat.reshape(RESAMPLES, *counts.shape)


def _macro_f1(drawn: "NDArray[Any]") -> "NDArray[Any]":
    """Macro-F1 of (resamples, label, truth) counts."""
    import numpy as np

    wrong = drawn[:, 0, 1] + drawn[:, 1, 0]
    of_each = [2 * drawn[:, k, k] / np.maximum(2 * drawn[:, k, k] + wrong, 1) for k in (0, 1)]
    return np.asarray(sum(of_each) / 2)


def _coarse(reviewed: Sequence[ReviewedLabel]) -> bool:
    values = Counter(label.score for label in reviewed if label.score is not None)
    total = sum(values.values())
    if not total:
        return True
    common = 1 / sum((n / total) ** 2 for n in values.values())  # the inverse Simpson index
    return len(values) < LEAST_VALUES or common < COMMON
