"""How good a ranking is: average precision against chance, and the linear data-modelling score."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sft.scoring.statistics import Interval

DRAWS = 2000
"""Permutations of a test, so that the smallest p is 1 / 2001."""


def average_precision(planted: Sequence[bool], scores: Sequence[float]) -> float:
    """The area under the precision-recall curve, as a sum over its steps; rows with equal scores are one step.

    Args:
        planted: what is to be found; at least one is true.
        scores: higher is more suspect. A ranking by chance has an expected area near the share of planted rows.
    """
    truth, values = np.asarray(planted, dtype=float), np.asarray(scores, dtype=float)
    order = np.argsort(-values, kind="stable")
    found = np.cumsum(truth[order])
    last = np.append(np.diff(values[order]) != 0, True)  # of rows with equal scores
    precision = found[last] / (np.flatnonzero(last) + 1)
    recall = np.diff(found[last], prepend=0.0) / found[-1]
    return float((precision * recall).sum())


def chance(planted: Sequence[bool], scores: Sequence[float], seed: int = 0) -> float:
    """p: how often a random order has at least this average precision (permutation test)."""
    observed, draw = average_precision(planted, scores), np.random.default_rng(seed)
    shuffled = (draw.permutation(np.asarray(planted)).tolist() for _ in range(DRAWS))
    at_least = sum(average_precision(one, scores) >= observed - 1e-12 for one in shuffled)
    return (1 + at_least) / (1 + DRAWS)


def recovered(planted: Sequence[bool], scores: Sequence[float]) -> float:
    """The share of planted rows among the top as many."""
    truth = np.asarray(planted)
    top = np.argsort(-np.asarray(scores, dtype=float), kind="stable")[: truth.sum()]
    return float(truth[top].mean())


class ModellingScore(NamedTuple):
    """A linear data-modelling score; by chance it is 0."""

    score: float
    interval: Interval
    """95 %, by bootstrap over subsets and targets; wide where there are few subsets."""
    p: float
    """How often outcomes that are given to the subsets at random have at least this score."""


def data_modelling_score(
    kept: np.ndarray, influence: np.ndarray, outcomes: np.ndarray, seed: int = 0
) -> ModellingScore:
    """The linear data-modelling score (arXiv 2303.14186): rank correlation of what sums of influence predict and what training on subsets gives.

    The mean over targets of Spearman's correlation over subsets; 0 for a target whose predictions or outcomes are all equal.

    Args:
        kept: (subsets, rows), 1 for rows that a subset has; with fewer than 4 subsets no score has a p below 0.05.
        influence: (rows, targets).
        outcomes: (subsets, targets).
        seed: of bootstrap and permutations.
    """
    predicted, draw = kept @ influence, np.random.default_rng(seed)
    score, again = _rank_correlation(predicted, outcomes), []
    for _ in range(DRAWS):
        places = np.ix_(*(draw.integers(size, size=size) for size in outcomes.shape))
        again.append(_rank_correlation(predicted[places], outcomes[places]))
    by_chance = [_rank_correlation(predicted, draw.permutation(outcomes)) for _ in range(DRAWS)]
    low, high = np.quantile(again, [0.025, 0.975])
    p = (1 + sum(one >= score - 1e-12 for one in by_chance)) / (1 + DRAWS)
    return ModellingScore(score, Interval(float(low), float(high)), p)


def _rank_correlation(predicted: np.ndarray, outcomes: np.ndarray) -> float:
    one, other = (ranks - ranks.mean(0) for ranks in map(_ranks, (predicted, outcomes)))
    size = np.sqrt((one**2).sum(0) * (other**2).sum(0))
    return float(np.divide((one * other).sum(0), size, out=np.zeros_like(size), where=size > 0).mean())


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 in each column; equal values have the mean of theirs."""
    below = (values[None] < values[:, None]).sum(1)
    equal = (values[None] == values[:, None]).sum(1)
    return np.asarray(below + (equal - 1) / 2)
