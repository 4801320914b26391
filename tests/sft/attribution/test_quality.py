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
    assert data_modelling_score(kept, influence, outcomes) == pytest.approx(wanted, abs=1e-12)
    assert data_modelling_score(kept, influence, kept @ influence) == pytest.approx(1)
    assert data_modelling_score(kept[:2], influence, outcomes[:2]) is None
