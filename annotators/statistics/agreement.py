"""Inter-annotator agreement: Krippendorff's alpha, Gwet's AC1, Cohen's and Fleiss' kappa, with bootstrap intervals.

Labels are nominal, or numbers: then alpha has the interval metric and Cohen's kappa quadratic weights, so that neighbouring levels
count as nearly equal.

Alpha is undefined if all labels are equal: perfect agreement and no evidence at all cannot be told apart, so such a pattern
has a null alpha, never 1.

The kappas are undefined in the same case. Alpha takes any number of labels per trace; Cohen's kappa is for a pair, and
Fleiss' kappa for traces that all annotators labelled.

Sources: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section B; J. Cohen, "A Coefficient of Agreement
for Nominal Scales" (1960); J. Fleiss, "Measuring Nominal Scale Agreement among Many Raters" (1971);
J. Cohen, "Weighted kappa" (1968); K. Gwet, "Computing inter-rater reliability and its variance in the presence of
high agreement" (2008), AC1.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
CONFIDENCE = 0.95

Label = Hashable


class Agreement(NamedTuple):
    """Agreement of annotators on one pattern."""

    alpha: float | None
    """The coefficient (alpha or kappa): 1 is perfect, 0 is chance, below 0 is systematic disagreement; null if undefined."""
    low: float | None
    """Lower end of the interval."""
    high: float | None
    """Upper end of the interval."""
    units: int
    """Traces that two or more annotators labelled."""


def agreement(units: Iterable[Sequence[Label]], seed: int = 0, *, ordered: bool = False) -> Agreement:
    """Alpha with its 95 % percentile interval over resampled units.

    Args:
        units: for each trace its labels, without nulls. Traces with fewer than two labels are ignored.
        seed: of the resampling.
        ordered: whether labels are numbers, and the squared difference is how far two of them disagree.
    """
    judged = [labels for labels in units if len(labels) > 1]
    counts = _count_labels(judged)
    if counts.shape[0] == 0:
        return Agreement(None, None, None, 0)
    distances = _distances(list(dict.fromkeys(x for unit in judged for x in unit)), ordered)
    kinds, sizes = _distinct(counts)
    return _with_interval(lambda weights: _alphas(kinds, weights, distances), sizes, seed)


def cohen(pairs: Sequence[tuple[Label, Label]], seed: int = 0, *, ordered: bool = False) -> Agreement:
    """Cohen's kappa of two annotators on the traces both labelled, with its 95 % percentile interval; arguments as for `agreement`."""
    import numpy as np

    if not pairs:
        return Agreement(None, None, None, 0)
    kinds = Counter(pairs)
    labels = {label: i for i, label in enumerate(dict.fromkeys(label for pair in kinds for label in pair))}
    left, right = (np.eye(len(labels))[[labels[pair[side]] for pair in kinds]] for side in (0, 1))
    distances = _distances(list(labels), ordered)
    apart = ((left @ distances) * right).sum(axis=1)

    def kappas(weights: "NDArray[Any]") -> list[float | None]:
        total = weights.sum(axis=1)
        by_chance = ((weights @ left @ distances) * (weights @ right)).sum(axis=1) / total**2
        return _beyond(1 - weights @ apart / total, 1 - by_chance)

    return _with_interval(kappas, np.array(list(kinds.values())), seed)


def fleiss(units: Sequence[Sequence[Label]], seed: int = 0) -> Agreement:
    """Fleiss' kappa over traces that were all labelled by the same number of annotators, with its 95 % interval.

    Raises:
        ValueError: if the numbers of labels differ.
    """
    if len({len(unit) for unit in units}) > 1:
        raise ValueError("Fleiss' kappa needs the same number of labels on every trace")
    if not units or len(units[0]) < 2:
        return Agreement(None, None, None, 0)
    (counts, sizes), raters = _distinct(_count_labels(units)), len(units[0])
    same = (counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))

    def kappas(weights: "NDArray[Any]") -> list[float | None]:
        total = weights.sum(axis=1)
        chance = ((weights @ counts / (total * raters)[:, None]) ** 2).sum(axis=1)
        return _beyond(weights @ same / total, chance)

    return _with_interval(kappas, sizes, seed)


def gwet(units: Iterable[Sequence[Label]], categories: int = 2, seed: int = 0) -> Agreement:
    """Gwet's AC1 with its 95 % interval: unlike alpha it does not fall towards 0 where nearly all labels are the same.

    Args:
        units: for each trace its labels, without nulls. Traces with fewer than two labels are ignored.
        categories: how many different labels there can be.
        seed: of the resampling.
    """
    import numpy as np

    counts = _count_labels([labels for labels in units if len(labels) > 1])
    if counts.shape[0] == 0:
        return Agreement(None, None, None, 0)
    kinds, sizes = _distinct(counts)
    raters = kinds.sum(axis=1)
    same = (kinds * (kinds - 1)).sum(axis=1) / (raters * (raters - 1))

    def coefficients(weights: "NDArray[Any]") -> list[float | None]:
        total = weights.sum(axis=1)
        shares = weights @ (kinds / raters[:, None]) / total[:, None]
        chance = (shares * (1 - shares)).sum(axis=1) / (max(2, categories) - 1)
        return _beyond(weights @ same / total, np.asarray(chance))

    return _with_interval(coefficients, sizes, seed)


def percent_agreement(units: Iterable[Sequence[Label]]) -> float | None:
    """The mean over traces with two or more labels of the share of their pairs that are the same; null without such traces."""
    shares = []
    for labels in units:
        if len(labels) > 1:
            same = sum(n * (n - 1) for n in Counter(labels).values())
            shares.append(same / (len(labels) * (len(labels) - 1)))
    return sum(shares) / len(shares) if shares else None


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


def _distances(labels: Sequence[Label], ordered: bool) -> "NDArray[Any]":
    """How far each label disagrees with each, at most 1: 0 or 1, or the squared difference of numbers."""
    import numpy as np

    if not ordered:
        return 1 - np.eye(len(labels))
    values = np.array(labels, dtype=float)
    squared = (values[:, None] - values[None, :]) ** 2
    return np.asarray(squared / max(squared.max(initial=0), 1e-12))


def _alphas(counts: "NDArray[Any]", weights: "NDArray[Any]", distances: "NDArray[Any]") -> list[float | None]:
    """Alpha of the units (n, labels), each weighted by how often it was drawn: weights are (resamples, n)."""
    size = counts.sum(axis=1)
    disagreement = ((counts @ distances) * counts).sum(axis=1) / (size - 1)
    values = weights @ size
    totals = weights @ counts
    expected = ((totals @ distances) * totals).sum(axis=1) / (values - 1)
    observed = weights @ disagreement
    return [float(1 - o / e) if e > 0 else None for o, e in zip(observed, expected, strict=True)]


def _beyond(observed: "NDArray[Any]", chance: "NDArray[Any]") -> list[float | None]:
    """(observed - chance) / (1 - chance); null where chance alone gives perfect agreement."""
    return [
        float((o - c) / (1 - c)) if c < 1 - 1e-12 else None for o, c in zip(observed, chance, strict=True)
    ]


def _distinct(counts: "NDArray[Any]") -> "tuple[NDArray[Any], NDArray[Any]]":
    """The distinct rows, and how often each occurs."""
    import numpy as np

    return np.unique(counts, axis=0, return_counts=True)


def _with_interval(
    estimate: "Callable[[NDArray[Any]], list[float | None]]", sizes: "NDArray[Any]", seed: int
) -> Agreement:
    """An estimate and its percentile interval over resampled units.

    Args:
        estimate: of (resamples, kinds) weights.
        sizes: how many units there are of each kind; resampling draws from these, so a million units cost no more than a
            hundred.
        seed: of the resampling.
    """
    import numpy as np

    n = int(sizes.sum())
    point = estimate(sizes[None, :].astype(float))[0]
    if point is None:
        return Agreement(None, None, None, n)
    weights = np.random.default_rng(seed).multinomial(n, sizes / n, size=RESAMPLES)
    drawn = [value for value in estimate(weights) if value is not None]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Agreement(point, float(low), float(high), n)
