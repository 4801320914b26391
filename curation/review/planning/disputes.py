"""Traces on which people disagree, and traces whose labels are known: what an adjudicator decides, and what gold items are made of."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from curation.review.form import questions
from curation.review.planning.assignment import place
from curation.review.reviews import DECIDING, SUBMITTED, Review, standing

UNSURE = "unsure"


class Dispute(NamedTuple):
    """A trace on which people disagree, or somebody is unsure."""

    trace_id: str
    patterns: tuple[str, ...]
    """Those that some say are present and others say are not."""
    verdicts: tuple[str, ...]
    """What people want done with it, where they differ or somebody is unsure."""
    reviewers: tuple[str, ...]
    decided: bool
    """Whether an adjudicator has decided it."""


def disputes(reviews: Iterable[Review], traces: Collection[str]) -> list[Dispute]:
    """The disputes among the standing reviews of some traces, in the order of the traces."""
    votes = votes_by_trace(reviews)
    found = (_dispute(trace, votes[trace]) for trace in traces if trace in votes)
    return [dispute for dispute in found if dispute]


def votes_by_trace(reviews: Iterable[Review]) -> dict[str, list[Review]]:
    """The standing submitted reviews of each trace, adjudicators' included."""
    votes: dict[str, list[Review]] = {}
    for review in standing(reviews):
        if review.status == SUBMITTED:
            votes.setdefault(review.trace_id, []).append(review)
    return votes


def known(
    reviews: Iterable[Review], seed: str, *, apart: Collection[str] = (), of_round: str | None = None
) -> dict[str, dict[str, bool]]:
    """Traces with known labels, in a random order: whether each entry is present, without those that somebody left open.

    Known is what an adjudicator decided or two or more people agree on in all patterns; or, of a round, what its reviews agree on.

    Args:
        reviews: all versions of all reviews.
        seed: of the order.
        apart: traces to leave out.
        of_round: the round whose reviews are taken.
    """
    counted = [review for review in reviews if of_round in (None, review.round)]
    labels = {}
    for trace, votes in votes_by_trace(counted).items():
        decided = [review for review in votes if review.role == DECIDING]
        given = decided or votes
        agreed = len({review.present for review in given}) == 1 and (decided or of_round or len(votes) > 1)
        if trace not in apart and agreed and (said := _said_by_all(given)):
            labels[trace] = said
    return {trace: labels[trace] for trace in sorted(labels, key=lambda trace: place(seed, trace))}


def _said_by_all(reviews: Sequence[Review]) -> dict[str, bool]:
    """The labels of reviews in which the same entries are present, without those that one of them leaves open."""
    first, *others = (review.said for review in reviews)
    return {name: label for name, label in first.items() if all(name in other for other in others)}


def _dispute(trace: str, reviews: list[Review]) -> Dispute | None:
    votes = [review for review in reviews if review.role != DECIDING]
    labels = [vote.said for vote in votes]
    names = votes[0].form.names if votes else ()
    patterns = tuple(name for name in names if len({one[name] for one in labels if name in one}) > 1)
    said = {vote.verdict for vote in votes if vote.verdict}
    verdicts = tuple(name for name in questions.VERDICTS if name in said)
    if not patterns and len(verdicts) < 2 and UNSURE not in verdicts:
        return None
    differ = verdicts if len(verdicts) > 1 or UNSURE in verdicts else ()
    return Dispute(
        trace, patterns, differ, tuple(sorted(vote.reviewer for vote in votes)), len(votes) < len(reviews)
    )
