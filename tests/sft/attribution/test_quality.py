"""Average precision, chance and the data-modelling score, against scikit-learn, scipy and rankings that are known."""

import numpy as np
import pytest

from sft.attribution.quality import average_precision, chance, data_modelling_score, recovered


def test_average_precision_is_that_of_scikit_learn_ties_included() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    for _ in range(50):
        truth = draw.random(40) < 0.2
        truth[0] = True
        scores = np.round(draw.random(40), 1)
        wanted = metrics.average_precision_score(truth, scores)
        assert average_precision(truth.tolist(), scores.tolist()) == pytest.approx(wanted, abs=1e-12)


def test_a_perfect_ranking_is_not_chance_and_a_constant_one_is() -> None:
    truth = [True] * 5 + [False] * 95
    assert (
        average_precision(truth, list(range(100, 0, -1))) == 1
        and recovered(truth, list(range(100, 0, -1))) == 1
    )
    assert chance(truth, list(range(100, 0, -1))) < 0.001
    assert average_precision(truth, [0.0] * 100) == pytest.approx(0.05) and chance(truth, [0.0] * 100) == 1


def test_p_of_random_rankings_is_below_a_half_half_the_time() -> None:
    draw = np.random.default_rng(1)
    truth = [True] * 5 + [False] * 45
    found = [chance(truth, draw.random(50).tolist()) for _ in range(40)]
    assert 0.25 < np.mean(np.array(found) < 0.5) < 0.75 and min(found) < 0.2


def test_the_data_modelling_score_is_the_mean_rank_correlation() -> None:
    stats = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(2)
    kept, influence = (draw.random((12, 30)) < 0.5).astype(float), draw.normal(size=(30, 4))
    outcomes = kept @ influence + draw.normal(size=(12, 4))
    wanted = np.mean([stats.spearmanr((kept @ influence)[:, n], outcomes[:, n])[0] for n in range(4)])
    assert data_modelling_score(kept, influence, outcomes).score == pytest.approx(wanted, abs=1e-12)


def halves(draw: np.random.Generator, subsets: int) -> np.ndarray:
    return (draw.random((subsets, 30)) < 0.5).astype(float)


def test_the_true_effect_of_every_row_has_a_data_modelling_score_of_one() -> None:
    draw = np.random.default_rng(3)
    kept, effect = halves(draw, 8), draw.normal(size=(30, 5))
    found = data_modelling_score(kept, effect, kept @ effect)
    assert found.score == pytest.approx(1) and found.interval.low > 0.9 and found.p < 0.01
    noisy = data_modelling_score(kept, effect, kept @ effect + 3 * draw.normal(size=(8, 5)))
    assert noisy.interval.low < noisy.score < noisy.interval.high < 1
    against = data_modelling_score(kept, -effect, kept @ effect)
    assert against.score == pytest.approx(-1) and against.p == 1


def test_random_influences_have_a_data_modelling_score_near_zero_and_a_small_p_as_seldom_as_it_says() -> None:
    draw = np.random.default_rng(4)
    found = [
        data_modelling_score(halves(draw, 8), draw.normal(size=(30, 3)), draw.normal(size=(8, 3)))
        for _ in range(40)
    ]
    assert abs(np.mean([one.score for one in found])) < 0.15
    assert 0.25 < np.mean([one.p < 0.5 for one in found]) < 0.75
    assert sum(one.p < 0.05 for one in found) <= 6
    assert np.mean([one.interval.low <= 0 <= one.interval.high for one in found]) > 0.8


def test_what_does_not_vary_orders_nothing() -> None:
    kept = halves(np.random.default_rng(5), 6)
    assert data_modelling_score(kept, np.zeros((30, 2)), kept[:, :2]) == (0, (0, 0), 1)
    constant = np.column_stack([kept[:, 0] + kept[:, 1], np.ones(6)])
    one_of_two = data_modelling_score(kept, np.eye(30)[:, :2] + np.eye(30)[:, [1, 1]], constant)
    assert 0 < one_of_two.score <= 0.5


def test_four_subsets_are_the_fewest_that_can_be_told_from_chance() -> None:
    effect = np.arange(1.0, 5)[:, None]
    for subsets, told in ((3, False), (4, True)):
        kept = np.tril(np.ones((subsets, 4)))
        p = data_modelling_score(kept, effect, kept @ effect).p
        assert (p < 0.06) is told, (subsets, p)
