"""Statistics of differences between models: intervals, paired tests on the same prompts, and statistical power.

Papers often report rates on 50 prompts without an interval; 66 % against 54 % is then not significant.
Sources: Wilson 1927; McNemar 1947 (exact form); Holm 1979; arXiv 2411.00640 (clustered standard errors).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import comb, sqrt
from statistics import NormalDist
from typing import NamedTuple

from annotators.statistics.intervals import Interval, wilson

__all__ = [
    "Interval",
    "Paired",
    "clustered",
    "holm",
    "mcnemar",
    "minimum_detectable_effect",
    "paired_difference",
    "pass_at_k",
    "wilson",
]


class Paired(NamedTuple):
    """Two models on the same prompts."""

    both: int
    only_first: int
    only_second: int
    neither: int
    p: float
    """Two-sided exact McNemar: the probability of so uneven a split of the discordant prompts if the models are equal."""


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Compare binary outcomes of two models on the same prompts, in the same order.

    Raises:
        ValueError: if their numbers differ.
    """
    cells = [sum(pair == cell for pair in zip(first, second, strict=True)) for cell in _CELLS]
    both, left, right, neither = cells
    discordant = left + right
    tail = sum(comb(discordant, k) for k in range(min(left, right) + 1)) / 2**discordant
    return Paired(both, left, right, neither, min(1.0, 2 * tail))


_CELLS = ((True, True), (True, False), (False, True), (False, False))


def paired_difference(pair: Paired, confidence: float = 0.95) -> Interval:
    """Interval of the second model's rate minus the first's on the same prompts.

    Wald's with half a prompt added to each cell (Agresti and Min 2005), which has non-zero width even without differences.
    """
    n = pair.both + pair.only_first + pair.only_second + pair.neither + 2
    difference = (pair.only_second - pair.only_first) / n
    spread = (pair.only_first + pair.only_second + 1) / n - difference**2
    half = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(max(0.0, spread) / n)
    return Interval(max(-1.0, difference - half), min(1.0, difference + half))


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """p-values corrected for multiple testing (Holm's step-down)."""
    order = sorted(values, key=lambda name: values[name])
    corrected, largest = {}, 0.0
    for rank, name in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in values}


def clustered(groups: Sequence[Sequence[bool]], confidence: float = 0.95) -> Interval:
    """Interval of a rate if prompts have several, correlated samples: the unit is the prompt, not the sample.

    Args:
        groups: outcomes of the samples of each prompt; prompts without any are ignored.
        confidence: coverage.

    Raises:
        ValueError: if there are no outcomes.
    """
    there = [group for group in groups if group]
    total = sum(map(len, there))
    if not total:
        raise ValueError("no outcomes")
    if all(len(group) == 1 for group in there):
        return wilson(sum(group[0] for group in there), total, confidence)
    rate = sum(sum(group) for group in there) / total
    squares = sum((sum(group) - rate * len(group)) ** 2 for group in there)
    if squares == 0:  # no variance between prompts: as uncertain as one sample of each
        return wilson(round(rate * len(there)), len(there), confidence)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(squares) / total
    return Interval(max(0.0, rate - half), min(1.0, rate + half))


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased estimate of the probability that one of k samples is correct if c of n are (arXiv 2107.03374).

    Raises:
        ValueError: unless 0 <= c <= n and 1 <= k <= n.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@{k} of {c} right among {n}")
    return 1.0 - comb(n - c, k) / comb(n, k)


def minimum_detectable_effect(rate: float, n: int, power: float = 0.8, confidence: float = 0.95) -> float:
    """The minimum detectable effect: the smallest difference from a rate detected with this power on n prompts per model.

    Two-sided and unpaired, by bisection on the normal approximation; paired tests (`mcnemar`) detect somewhat smaller ones.
    """
    z, wanted = NormalDist().inv_cdf((1 + confidence) / 2), NormalDist().inv_cdf(power)

    def shows(sign: int, difference: float) -> bool:
        other = rate + sign * difference
        mean = (rate + other) / 2
        null = z * sqrt(2 * mean * (1 - mean) / n)
        real = wanted * sqrt((rate * (1 - rate) + other * (1 - other)) / n)
        return difference >= null + real

    rooms = {1: 1 - rate, -1: rate}
    return min(_least(partial(shows, sign), room) for sign, room in rooms.items())


def _least(shows: Callable[[float], bool], room: float) -> float:
    """The smallest detectable difference, by bisection; 1 if none is."""
    if room <= 0 or not shows(room):
        return 1.0
    low, high = 0.0, room
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high
