import random
from collections import Counter
from math import log

import pytest

from annotators.statistics.consensus import (
    AnnotatorRates,
    LabelCombination,
    dawid_skene,
    measured_weights,
    posterior,
)

SKILLS = {"good": (0.9, 0.95), "fair": (0.8, 0.8), "eager": (0.95, 0.55), "poor": (0.55, 0.6)}


def simulated(
    n: int, prevalence: float, people: float = 0.0, seed: int = 1
) -> tuple[list[LabelCombination], list[tuple]]:
    dice = random.Random(seed)
    counted: Counter[tuple] = Counter()
    for _ in range(n):
        truth = dice.random() < prevalence
        votes = tuple(
            (name, truth if dice.random() < (found if truth else cleared) else not truth)
            for name, (found, cleared) in SKILLS.items()
            if dice.random() < 0.9
        )
        if votes:
            counted[votes, truth if dice.random() < people else None, truth] += 1
    ballots = [LabelCombination(dict(votes), known, n) for (votes, known, _), n in counted.items()]
    return ballots, [(dict(votes), truth, n) for (votes, _, truth), n in counted.items()]


def test_dawid_skene_finds_the_rates_that_made_the_votes() -> None:
    ballots, _ = simulated(20_000, 0.3)
    weights = dawid_skene(ballots)
    assert weights is not None
    for name, (found, cleared) in SKILLS.items():
        assert weights.annotators[name] == pytest.approx((found, cleared), abs=0.03)
    assert weights.prior == pytest.approx(log(0.3 / 0.7), abs=0.1)


def test_reliability_is_measured_on_peoples_labels() -> None:
    ballots, _ = simulated(20_000, 0.3, people=0.2)
    weights = measured_weights(ballots)
    assert weights is not None
    for name, rates in SKILLS.items():
        assert weights.annotators[name] == pytest.approx(rates, abs=0.04)


@pytest.mark.parametrize("estimate", [measured_weights, dawid_skene])
def test_weighing_beats_the_majority(estimate) -> None:
    ballots, everything = simulated(20_000, 0.2, people=0.05)
    weights = estimate(ballots)

    def right(says) -> int:
        return sum(n for votes, truth, n in everything if says(votes) is truth)

    majority = right(lambda votes: 2 * sum(votes.values()) > len(votes))
    assert right(lambda votes: posterior(votes, weights) > 0.5) > majority + 800


def test_peoples_labels_hold_the_estimate_against_a_mob_that_errs_together() -> None:
    votes_true, votes_false = dict.fromkeys("abc", True), dict.fromkeys("abc", False)
    mob = [
        LabelCombination(votes_true | {"d": False}, None, 500),
        LabelCombination(votes_false | {"d": False}, None, 500),
    ]
    people = [
        LabelCombination(votes_true | {"d": False}, False, 300),
        LabelCombination(votes_false | {"d": True}, True, 300),
    ]
    weights = dawid_skene([*mob, *people])
    assert weights is not None and weights.annotators["a"].sensitivity < 0.3


def test_there_is_no_estimate_without_ground_to_stand_on() -> None:
    assert measured_weights([LabelCombination({"a": True}, None, 5)]) is None
    assert measured_weights([LabelCombination({"a": True}, True, 5)]) is None
    assert dawid_skene([LabelCombination({"a": True, "b": False}, None, 5)]) is None


def test_an_annotator_nobody_has_measured_does_not_count() -> None:
    weights = measured_weights(
        [LabelCombination({"a": True}, True, 9), LabelCombination({"a": False}, False, 9)]
    )
    assert weights is not None
    assert posterior({"a": True, "new": False}, weights) == posterior({"a": True}, weights)
    assert posterior({}, weights) == pytest.approx(0.5)


def test_a_perfect_record_is_not_taken_for_certainty() -> None:
    weights = measured_weights(
        [LabelCombination({"a": True}, True, 3), LabelCombination({"a": False}, False, 3)]
    )
    assert weights is not None and weights.annotators["a"] == AnnotatorRates(4 / 5, 4 / 5)
