"""Confidence intervals of rates: Wilson's, since the normal approximation gives [0, 0] for 0 successes in 50 trials."""

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """A confidence interval of a rate, within [0, 1]."""

    low: float
    high: float


def wilson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of k successes in n independent trials (Wilson 1927, without continuity correction).

    Raises:
        ValueError: unless 0 <= k <= n and n > 0.
    """
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"{k} of {n} is not a rate")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * sqrt(k * (n - k) / n + z * z / 4)
    return Interval(max(0.0, centre - half) if k else 0.0, min(1.0, centre + half) if k < n else 1.0)
