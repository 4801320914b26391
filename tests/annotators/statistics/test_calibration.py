import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from annotators.statistics.calibration import (
    LEAST,
    ReviewedLabel,
    ThresholdTarget,
    calibration_error,
    confusion,
    confusion_of,
    find_threshold,
    held_out_labels,
    reliability,
)

MACRO, PRECISE = ThresholdTarget(), ThresholdTarget(precision=0.9)


def drawn(n: int, seed: int = 0, flatter: float = 1.0) -> list[ReviewedLabel]:
    """Scores that are the true probability (flatter = 1), or pulled towards one half."""
    dice = random.Random(seed)
    found = []
    for place in range(n):
        score = dice.random()
        shown = 0.5 + (score - 0.5) * flatter
        found.append(ReviewedLabel(shown, shown >= 0.5, dice.random() < score, f"prompt {place // 2}"))
    return found


def on_scale(values: list[tuple[int | None, bool, bool]]) -> list[ReviewedLabel]:
    return [ReviewedLabel(None if s is None else s / 8, label, truth, "p") for s, label, truth in values]


ENOUGH = [(s, s > 4, s > 3) for s in (1, 7)] * LEAST
JUDGEMENTS = st.lists(st.tuples(st.none() | st.integers(0, 8), st.booleans(), st.booleans()), max_size=40)


@given(JUDGEMENTS)
def test_no_other_score_has_a_better_macro_f1_and_none_that_is_precise_enough_finds_more(values) -> None:
    judgements = on_scale(values + ENOUGH)
    by_hand = {score: confusion(judgements, score) for score in {j.score for j in judgements} - {None}}
    best, precise = find_threshold(judgements, MACRO), find_threshold(judgements, PRECISE)
    assert best is not None and by_hand[best].macro_f1 == max(t.macro_f1 for t in by_hand.values())
    enough = [t.recall for t in by_hand.values() if (t.precision or 0) >= 0.9 and sum(t[:2]) >= LEAST]
    assert (precise is None) == (not enough)
    assert precise is None or by_hand[precise].recall == max(enough)


@settings(deadline=None, max_examples=50)  # scikit-learn is slow at small things
@given(JUDGEMENTS)
def test_rates_are_those_of_scikit_learn(values) -> None:
    judgements = on_scale(values + ENOUGH)
    said = [j.label if j.score is None else j.score >= 0.5 for j in judgements]
    truth = [j.truth for j in judgements]
    found = confusion(judgements, 0.5)
    assert found.precision == pytest.approx(precision_score(truth, said))
    assert found.recall == pytest.approx(recall_score(truth, said))
    assert found.f1 == pytest.approx(f1_score(truth, said))
    assert found.macro_f1 == pytest.approx(f1_score(truth, said, average="macro"))
    assert sum(found) == len(judgements)


def test_a_wanted_precision_holds_on_prompts_that_did_not_choose_the_threshold() -> None:
    judgements = drawn(4000)
    labels = held_out_labels(judgements, PRECISE)
    assert labels is not None
    outside = confusion_of(labels, judgements)
    assert outside.precision == pytest.approx(0.9, abs=0.03)
    assert outside.recall == pytest.approx(
        confusion(judgements, find_threshold(judgements, PRECISE)).recall, abs=0.05
    )


def test_held_out_figures_see_through_a_threshold_that_was_luck() -> None:
    dice = random.Random(8)
    noise = [ReviewedLabel(dice.random(), True, dice.random() < 0.3, f"p{n}") for n in range(60)]
    chosen = find_threshold(noise, ThresholdTarget(precision=0.6))
    assert chosen is not None and (confusion(noise, chosen).precision or 0) >= 0.6
    assert (
        held_out_labels(noise, ThresholdTarget(precision=0.6)) is None
    )  # in one of the fifths there was no such threshold at all


def test_there_is_no_threshold_from_few_labels_or_without_scores() -> None:
    few = [ReviewedLabel(0.9, True, True, "p")] * (LEAST - 1) + [ReviewedLabel(0.1, False, False, "p")] * 50
    assert find_threshold(few, MACRO) is None
    assert find_threshold([j._replace(score=None) for j in drawn(100)], MACRO) is None
    useless = [ReviewedLabel(0.5, True, truth, "p") for truth in (True, False) for _ in range(20)]
    assert find_threshold(useless, PRECISE) is None


def test_a_true_probability_has_no_calibration_error_and_a_timid_one_has() -> None:
    honest, timid = reliability(drawn(4000)), reliability(drawn(4000, flatter=0.3))
    assert (calibration_error(honest) or 1) < 0.03 < 0.1 < (calibration_error(timid) or 0)
    assert sum(b.traces for b in honest) == 4000
    assert all(b.interval.low <= b.true_share <= b.interval.high for b in honest)
    assert calibration_error([]) is None
