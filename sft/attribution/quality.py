"""How good a ranking is: average precision against chance, and the linear data-modelling score."""

from collections.abc import Sequence

import numpy as np

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


def data_modelling_score(kept: np.ndarray, influence: np.ndarray, outcomes: np.ndarray) -> float | None:
    """The linear data-modelling score (arXiv 2303.14186): rank correlation of what sums of influence predict and what training on subsets gives.

    Args:
        kept: (subsets, rows), 1 for rows that a subset has.
        influence: (rows, targets).
        outcomes: (subsets, targets).

    Returns:
        The mean over targets of Spearman's correlation over subsets; null if there are fewer than 3 subsets.
    """
    if len(kept) < 3:
        return None
    predicted = kept @ influence
    pairs = [
        np.corrcoef(_ranks(predicted[:, place]), _ranks(outcomes[:, place]))[0, 1]
        for place in range(outcomes.shape[1])
    ]
    return float(np.mean(pairs))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values have the mean of theirs."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    return ((ends - sizes + ends - 1) / 2)[group]
