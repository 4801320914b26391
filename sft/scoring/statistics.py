"""Statistics of differences between models: intervals, paired tests on the same prompts, and statistical power.

The unit is the prompt: all its samples and seeds count, through their mean. With one sample of each, the permutation test is the
exact McNemar test. Papers often report rates on 50 prompts without an interval; 66 % against 54 % is then not significant.
Sources: Wilson 1927; Fisher 1935 (permutation); Holm 1979; Agresti and Min 2005; arXiv 2411.00640 (clustered standard errors).
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from math import comb, lcm, sqrt
from statistics import NormalDist
from typing import Any, NamedTuple, TypeVar

import numpy as np

from annotators.statistics.intervals import Interval, wilson

__all__ = [
    "Interval",
    "Paired",
    "auroc",
    "clustered",
    "holm",
    "minimum_detectable_effect",
    "paired",
    "paired_difference",
    "pass_at_k",
    "wilson",
]

FINEST = 5040
"""Differences of prompts are counted in parts of this at the finest."""

Key = TypeVar("Key")
Means = Sequence[Fraction]
"""A model's rate on each prompt, over all its samples."""


class Paired(NamedTuple):
    """Two models on the same prompts."""

    prompts: int
    only_first: int
    """Prompts on which the first model's rate is higher."""
    only_second: int
    rates: tuple[float, float]
    """Means over prompts."""
    spread: float
    """Mean of the squared differences."""
    p: float
    """Two-sided permutation test: the probability of so large a difference if on every prompt the models could be swapped."""

    @property
    def difference(self) -> float:
        """The second model's rate minus the first's."""
        return self.rates[1] - self.rates[0]


def paired(first: Means, second: Means) -> Paired:
    """Compare the rates of two models on the same prompts, in the same order.

    Raises:
        ValueError: if their numbers differ, or there are none.
    """
    differences = [b - a for a, b in zip(first, second, strict=True)]
    n = len(differences)
    if not n:
        raise ValueError("no prompts")
    return Paired(
        prompts=n,
        only_first=sum(d < 0 for d in differences),
        only_second=sum(d > 0 for d in differences),
        rates=(float(sum(first) / n), float(sum(second) / n)),
        spread=float(sum(d * d for d in differences) / n),
        p=_swapped(differences),
    )


def _swapped(differences: Means) -> float:
    """Exact: the distribution of the sum under all swaps, prompt by prompt."""
    parts = min(FINEST, lcm(*(d.denominator for d in differences)))
    steps = [round(d * parts) for d in differences if d]
    common = int(np.gcd.reduce(steps)) if steps else 1
    steps = [step // max(1, abs(common)) for step in steps]
    chances = np.ones(1)
    for step in map(abs, steps):  # chances[i]: that i steps of the total are positive
        chances = (
            np.concatenate([chances, np.zeros(step)]) / 2 + np.concatenate([np.zeros(step), chances]) / 2
        )
    extreme = min(total := sum(s for s in steps if s > 0), sum(map(abs, steps)) - total)
    return float(min(1.0, 2 * chances[: extreme + 1].sum()))


def paired_difference(pair: Paired, confidence: float = 0.95) -> Interval:
    """Interval of the second model's rate minus the first's on the same prompts.

    Wald's with two prompts added, half of them in favour of either model (Agresti and Min 2005), which has non-zero width even
    without differences.
    """
    n = pair.prompts + 2
    difference = pair.difference * pair.prompts / n
    spread = (pair.spread * pair.prompts + 1) / n - difference**2
    half = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(max(0.0, spread) / n)
    return Interval(max(-1.0, difference - half), min(1.0, difference + half))


def holm(values: Mapping[Key, float]) -> dict[Key, float]:
    """p-values corrected for multiple testing (Holm's step-down)."""
    order = sorted(values, key=lambda name: values[name])
    corrected: dict[Key, float] = {}
    largest = 0.0
    for rank, name in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in values}


def clustered(groups: Sequence[Sequence[bool | float]], confidence: float = 0.95) -> Interval:
    """Interval of a rate if prompts have several, correlated samples, or of a mean of scores: the unit is the prompt, not the sample.

    Student's t over prompts, with two more of them, one all true and one all false: with few prompts and rates near 0 or 1 the
    plain clustered interval is much too narrow. With one true or false sample of each prompt it is Wilson's.

    Args:
        groups: outcomes of the samples of each prompt, or their scores from 0 to 1; prompts without any are ignored.
        confidence: coverage.

    Raises:
        ValueError: if there are no outcomes.
    """
    there = [group for group in groups if group]
    total = sum(map(len, there))
    if not total:
        raise ValueError("no outcomes")
    if all(len(group) == 1 and isinstance(group[0], bool) for group in there):
        return wilson(int(sum(group[0] for group in there)), total, confidence)
    size = total / len(there)
    sums = np.array([*map(sum, there), size, 0.0])
    sizes = np.array([*map(len, there), size, size], dtype=float)
    rate = sums.sum() / sizes.sum()
    count = len(sums)
    squares = ((sums - rate * sizes) ** 2).sum() * count / (count - 1)
    half = _student((1 + confidence) / 2, count - 1) * sqrt(squares) / sizes.sum()
    raw = sum(map(sum, there)) / total
    return Interval(min(raw, max(0.0, rate - half)), max(raw, min(1.0, rate + half)))


def _student(probability: float, freedom: int) -> float:
    """Quantile of Student's t (Cornish and Fisher's expansion; three digits from five degrees of freedom)."""
    z = NormalDist().inv_cdf(probability)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased estimate of the probability that one of k samples is correct if c of n are (arXiv 2107.03374).

    Raises:
        ValueError: unless 0 <= c <= n and 1 <= k <= n.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@{k} of {c} right among {n}")
    return 1.0 - comb(n - c, k) / comb(n, k)


def minimum_detectable_effect(pair: Paired, tests: int = 1, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest difference that the paired test finds with this power on these prompts; 1 if it finds none.

    Models are taken to disagree on as many prompts as these two do, or on as many as the difference needs.

    Args:
        pair: the two models.
        tests: number of tests in the table; the first step of Holm's correction.
        power: probability of a significant result.
        alpha: level of the test.
    """
    disagreement = min(1.0, pair.spread)
    return _least(lambda effect: _power(pair.prompts, effect, disagreement, alpha / tests) >= power)


def _power(n: int, effect: float, disagreement: float, alpha: float) -> float:
    """Power of the exact paired test: differing prompts are binomial, and of those the ones in favour of one model."""
    share = max(disagreement, effect)
    favour = (share + effect) / (2 * share)
    discordant = _binomial(n, share)
    return float(
        sum(
            discordant[m]
            * (_binomial(m, favour)[: least + 1].sum() + _binomial(m, favour)[m - least :].sum())
            for m in range(n + 1)
            if discordant[m] > 1e-9 and (least := _critical(m, alpha)) >= 0
        )
    )


@cache
def _critical(m: int, alpha: float) -> int:
    """The largest minority of m differing prompts at which the test is significant; -1 if none is."""
    tail = 2 * np.cumsum(_binomial(m, 0.5)[: (m + 1) // 2])
    return int(np.searchsorted(tail, alpha, side="left")) - 1


def _binomial(n: int, p: float) -> Any:
    """Probabilities of 0 to n successes."""
    if p in (0.0, 1.0):
        return np.eye(1, n + 1, n if p else 0)[0]
    k = np.arange(n + 1)
    return np.exp(_log_choose(n) + k * np.log(p) + (n - k) * np.log1p(-p))


@cache
def _log_choose(n: int) -> Any:
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    return logs[n] - logs - logs[::-1]


def _least(shows: Callable[[float], bool]) -> float:
    """The smallest effect that shows, by bisection; 1 if none does."""
    if not shows(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high


def auroc(positive: Any, negative: Any) -> float:
    """Probability that a value of the first exceeds one of the second, ties counting half (Mann and Whitney's U)."""
    ordered = np.sort(negative)
    below, not_above = np.searchsorted(ordered, positive, "left"), np.searchsorted(ordered, positive, "right")
    return float((below + not_above).mean() / 2 / len(ordered))
