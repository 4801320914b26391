"""How many more labels until a recall is known, or reached."""

from collections.abc import Sequence
from math import ceil, exp, log

from annotators.statistics.calibration import Confusion
from annotators.statistics.intervals import wilson

RECALL, HALF_WIDTH = 0.9, 0.05
FARTHEST = 100
"""Beyond so many times the labels at hand no curve tells anything."""


def labels_until_known(
    found: Confusion, recall: float = RECALL, half_width: float = HALF_WIDTH
) -> int | None:
    """How many more random labels until the 95 % interval of a recall is this narrow; null if no label is positive."""
    positives = found.true_positives + found.false_negatives
    if not positives:
        return None
    needed = positives
    while True:
        interval = wilson(round(recall * needed), needed)
        if (interval.high - interval.low) / 2 <= half_width:
            return max(0, ceil((needed - positives) * sum(found) / positives))
        needed += 1


def labels_until_reached(curve: Sequence[tuple[int, float | None]], recall: float = RECALL) -> int | None:
    """How many more labels until a learning curve reaches a recall; null if it does not rise towards it.

    The recall is taken to rise with the logarithm of the labels, as the least-squares line through the curve does.

    Args:
        curve: labels and recall, the last point with all labels.
        recall: to be reached.
    """
    points = [(log(n), value) for n, value in curve if n and value is not None]
    if not points:
        return None
    n, now = max(curve)
    if now is not None and now >= recall:
        return 0
    middle = sum(x for x, _ in points) / len(points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    slope = sum((x - middle) * value for x, value in points) / spread if spread else 0.0
    if slope <= 0 or now is None or (recall - now) / slope > log(FARTHEST):
        return None
    return ceil(n * (exp((recall - now) / slope) - 1))
