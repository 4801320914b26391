"""How far annotators agree: Krippendorff's alpha for nominal labels, with a bootstrap interval.

Alpha is undefined while everybody gives one and the same label everywhere: perfect agreement and no evidence at all look
alike then, so such a pattern has alpha null and never 1.

Source: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section B.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
CONFIDENCE = 0.95

Label = Hashable


class Agreement(NamedTuple):
    """How far annotators agree on one question."""

    alpha: float | None
    """1 is perfect, 0 is chance, below 0 is systematic disagreement; null while it is undefined."""
    low: float | None
    """Lower end of the interval."""
    high: float | None
    """Upper end of the interval."""
    units: int
    """Traces that two or more annotators labelled."""


def agreement(units: Iterable[Sequence[Label]], seed: int = 0) -> Agreement:
    """Nominal alpha with its 95 % percentile interval over resampled units.

    Args:
        units: for each trace, the labels it was given; nulls are left out by the caller. Traces with fewer than two
            labels say nothing about agreement and are passed over.
        seed: of the resampling.
    """
    counts = _count_labels([labels for labels in units if len(labels) > 1])
    if counts.shape[0] == 0:
        return Agreement(None, None, None, 0)
    point = _alphas(counts, None)[0]
    interval = _interval(counts, seed) if point is not None else (None, None)
    return Agreement(point, *interval, counts.shape[0])


def pairwise_agreement(pairs: Iterable[tuple[Label, Label]]) -> float | None:
    """The share of pairs whose labels are equal; null without pairs."""
    hits = [left == right for left, right in pairs]
    return sum(hits) / len(hits) if hits else None


def by_unit(rows: Iterable[tuple[Hashable, Label]]) -> list[list[Label]]:
    """Group (unit, label) rows into the labels of each unit, in order of first sight."""
    grouped: dict[Hashable, list[Label]] = {}
    for unit, label in rows:
        grouped.setdefault(unit, []).append(label)
    return list(grouped.values())


def _count_labels(units: Sequence[Sequence[Label]]) -> "NDArray[Any]":
    import numpy as np

    columns: Mapping[Label, int] = {
        label: i for i, label in enumerate(dict.fromkeys(x for u in units for x in u))
    }
    counts = np.zeros((len(units), len(columns)))
    for row, labels in enumerate(units):
        for label in labels:
            counts[row, columns[label]] += 1
    return counts


def _alphas(counts: "NDArray[Any]", weights: "NDArray[Any] | None") -> list[float | None]:
    """Alpha of the units (n, labels), each weighted by how often it was drawn: weights are (resamples, n)."""
    import numpy as np

    if weights is None:
        weights = np.ones((1, len(counts)))
    size = counts.sum(axis=1)
    disagreement = (counts * (size[:, None] - counts)).sum(axis=1) / (size - 1)
    values = weights @ size
    totals = weights @ counts
    expected = (totals * (values[:, None] - totals)).sum(axis=1) / (values - 1)
    observed = weights @ disagreement
    return [float(1 - o / e) if e > 0 else None for o, e in zip(observed, expected, strict=True)]


def _interval(counts: "NDArray[Any]", seed: int) -> tuple[float | None, float | None]:
    import numpy as np

    n = len(counts)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    drawn = [alpha for alpha in _alphas(counts, weights) if alpha is not None]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low), float(high)
