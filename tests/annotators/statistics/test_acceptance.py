"""Calibration that cannot hurt, on label sets made to mislead it."""

import random
from collections.abc import Callable

import pytest

from annotators.statistics.acceptance import choose_threshold
from annotators.statistics.calibration import Confusion, ReviewedLabel, ThresholdTarget, confusion

MACRO, PRECISE = ThresholdTarget(), ThresholdTarget(precision=0.9)
Labels = list[ReviewedLabel]


def scored(
    n: int, seed: int, positive: float, gap: float = 0.3, cut: float = 0.5, disputed: bool = False
) -> Labels:
    """Labels of an annotator with a threshold of its own (`cut`) and scores that are `gap` apart in the mean."""
    dice = random.Random(seed)
    labels = []
    for place in range(n):
        truth = dice.random() < positive
        score = min(1.0, max(0.0, dice.gauss(0.35 + gap * truth, 0.18)))
        labels.append(ReviewedLabel(score, score >= cut, truth, f"{seed} {place // 2}", disputed))
    return labels


def eager(n: int, seed: int) -> Labels:
    """Scores that rank well, and a threshold far too low."""
    return scored(n, seed, 0.3, cut=0.15)


def constant(n: int, seed: int) -> Labels:
    return [label._replace(score=0.5, label=True) for label in scored(n, seed, 0.6)]


def coarse(n: int, seed: int) -> Labels:
    """Three values, as of rules, whose labels are at odds with the truth where the score is middling."""
    return [
        label._replace(score=round(2 * (label.score or 0)) / 2, label=label.truth)
        for label in scored(n, seed, 0.4)
    ]


def noise(n: int, seed: int) -> Labels:
    return scored(n, seed, 0.64, gap=0.0)


def queue_then_corpus(n: int, seed: int) -> tuple[Labels, Labels]:
    """A queue of doubtful traces on which the truth is upside down, and a random sample of the corpus, where it is not."""
    doubtful = [
        label._replace(truth=not label.truth, disputed=True)
        for label in scored(4 * n, seed, 0.5)
        if 0.35 < (label.score or 0) < 0.65
    ][:n]
    return doubtful, scored(n, seed + 1, 0.3)


@pytest.mark.parametrize("target", [MACRO, PRECISE])
@pytest.mark.parametrize(
    "make",
    [
        lambda n, seed: scored(n, seed, 1.0),
        lambda n, seed: scored(n, seed, 0.05),
        lambda n, seed: scored(n, seed, 0.64),
        constant,
        coarse,
        noise,
    ],
)
def test_whatever_the_labels_a_calibration_is_not_worse_on_labels_that_it_did_not_see(
    make: Callable[[int, int], Labels], target: ThresholdTarget
) -> None:
    for seed in range(6):
        choice = choose_threshold(make(200, seed), target)
        unseen = make(2000, 100 + seed)
        before, after = confusion(unseen, None), confusion(unseen, choice.threshold)
        if target.precision:
            assert choice.threshold is None or (after.precision or 0) > (before.precision or 0) - 0.02
        else:
            assert after.macro_f1 >= before.macro_f1 - 0.01
            assert (after.f1 or 0) >= (before.f1 or 0) - 0.02


def test_labels_that_a_threshold_improves_get_one() -> None:
    choice = choose_threshold(eager(300, 1), MACRO)
    unseen = eager(2000, 2)
    assert choice.why == "accepted" and choice.held_out is not None
    assert confusion(unseen, choice.threshold).macro_f1 > confusion(unseen, None).macro_f1 + 0.1


def test_a_threshold_that_fits_only_the_disputed_queue_is_rejected() -> None:
    for seed in range(6):
        queue, corpus = queue_then_corpus(150, seed)
        assert choose_threshold(queue, MACRO).threshold is None
        choice = choose_threshold([*queue, *corpus[:60]], MACRO)
        unseen = corpus[60:]
        assert confusion(unseen, choice.threshold).macro_f1 >= confusion(unseen, None).macro_f1 - 0.01


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (scored(200, 1, 1.0), "fewer than 10 labels of each value"),
        (constant(200, 1), "its scores are too coarse"),
        (coarse(200, 1), "its scores are too coarse"),
        ([label._replace(score=None) for label in scored(200, 1, 0.5)], "its scores are too coarse"),
        (noise(200, 1), "no better than a constant answer"),
        (scored(200, 1, 0.5), "no better than its own labels"),
        ([one._replace(disputed=True) for one in eager(300, 1)], "nearly all labels are of disputed traces"),
    ],
)
def test_it_says_why_labels_are_kept(labels: Labels, why: str) -> None:
    choice = choose_threshold(labels, MACRO)
    assert (choice.threshold, choice.why) == (None, why)


def test_the_macro_f1_of_a_constant_answer_is_at_most_one_half() -> None:
    assert Confusion(64, 36, 0, 0).macro_f1 < 0.5 < Confusion(50, 10, 14, 26).macro_f1
