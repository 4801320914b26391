"""How people agree: each pair of reviewers, the words they mark, and the traces whose labels are known."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import mean
from typing import NamedTuple

from curation.review.reviews import Mark, Review


class ReviewerPair(NamedTuple):
    """Two people on the traces that both judged."""

    first: str
    second: str
    shared: int
    """Traces that both judged."""
    agree: float | None
    """Share of the labels (present or not) that are the same; null without a label that both gave."""


class GoldScore(NamedTuple):
    """One person on the traces whose labels are known."""

    traces: int
    """Those of which at least one known label was decided."""
    labels: float | None
    """Share of the decided labels that are right; null without such traces."""
    whole: float | None
    """Share of the traces with all decided labels right."""


def by_trace(votes: Iterable[Review]) -> dict[str, list[Review]]:
    """Submitted reviews by trace, each trace's in the order of names."""
    grouped: dict[str, list[Review]] = {}
    for vote in sorted(votes, key=lambda vote: vote.reviewer):
        grouped.setdefault(vote.trace_id, []).append(vote)
    return grouped


def pairs(votes: Iterable[Review], names: Sequence[str]) -> list[ReviewerPair]:
    """Every pair of these people."""
    same: dict[tuple[str, str], list[float | None]] = {pair: [] for pair in combinations(sorted(names), 2)}
    for given in by_trace(votes).values():
        for one, other in combinations(given, 2):
            same.setdefault((one.reviewer, other.reviewer), []).append(_same(one.said, other.said))
    return [
        ReviewerPair(*pair, len(shares), mean(known) if (known := _compared(shares)) else None)
        for pair, shares in sorted(same.items())
    ]


def gold_score(votes: Iterable[Review], labels: Mapping[str, Mapping[str, bool]]) -> GoldScore:
    """One person's reviews against the known labels of traces; an entry that either leaves open is not compared."""
    shares = _compared(_same(vote.said, labels[vote.trace_id]) for vote in votes if vote.trace_id in labels)
    if not shares:
        return GoldScore(0, None, None)
    return GoldScore(len(shares), mean(shares), mean(share == 1 for share in shares))


def marks_agree(votes: Iterable[Review], pattern: str) -> float | None:
    """How far two people mark the same words where both mark the pattern: mean F1 (Dice) of their code points; null without such pairs."""
    shares = []
    for given in by_trace(votes).values():
        places = [_places(vote.evidence, pattern) for vote in given]
        for one, other in combinations([place for place in places if place], 2):
            shares.append(2 * len(one & other) / (len(one) + len(other)))
    return mean(shares) if shares else None


def _compared(shares: Iterable[float | None]) -> list[float]:
    """The shares of the traces on which something could be compared."""
    return [share for share in shares if share is not None]


def _same(one: Mapping[str, bool], other: Mapping[str, bool]) -> float | None:
    """Share of equal labels among those that both gave; null if there are none: nothing decided is not right."""
    both = [one[name] == other[name] for name in one if name in other]
    return mean(both) if both else None


def _places(marks: Iterable[Mark], pattern: str) -> set[tuple[str, int]]:
    return {(m.field, at) for m in marks if m.pattern == pattern for at in range(m.start, m.end)}
