import random

import pytest
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from sft.scoring.statistics import (
    Paired,
    clustered,
    holm,
    mcnemar,
    minimum_detectable_effect,
    paired_difference,
    pass_at_k,
    wilson,
)


@pytest.mark.parametrize(("k", "n"), [(0, 50), (11, 50), (50, 50), (1, 3), (33, 150), (0, 1), (499, 500)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_equals_statsmodels(k: int, n: int, confidence: float) -> None:
    assert wilson(k, n, confidence) == pytest.approx(
        proportion_confint(k, n, 1 - confidence, "wilson"), abs=1e-9
    )


def test_none_of_fifty_is_not_surely_none() -> None:
    assert wilson(0, 50) == pytest.approx((0, 0.0713), abs=1e-4)


@pytest.mark.parametrize(("k", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_refuses_what_is_no_rate(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        wilson(k, n)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (6, 0), (5, 0), (9, 3), (20, 21), (1, 60)])
def test_mcnemar_equals_statsmodels(only_first: int, only_second: int) -> None:
    first = [True] * (10 + only_first) + [False] * (only_second + 7)
    second = [True] * 10 + [False] * only_first + [True] * only_second + [False] * 7
    found = mcnemar(first, second)
    assert (found.both, found.only_first, found.only_second, found.neither) == (
        10,
        only_first,
        only_second,
        7,
    )
    expected = reference_mcnemar([[10, only_first], [only_second, 7]], exact=True).pvalue
    assert found.p == pytest.approx(min(1.0, expected))


def test_six_to_nothing_is_the_least_that_tells_two_models_apart() -> None:
    assert mcnemar([True] * 6, [False] * 6).p < 0.05 < mcnemar([True] * 5, [False] * 5).p


def test_models_on_different_prompts_are_not_paired() -> None:
    with pytest.raises(ValueError, match="shorter"):
        mcnemar([True, True], [True])


def test_holm_equals_statsmodels() -> None:
    chance = random.Random(1)
    values = {f"pair {n}": chance.random() ** 4 for n in range(12)}
    expected = multipletests(list(values.values()), method="holm")[1]
    assert list(holm(values).values()) == pytest.approx(list(expected))
    assert holm({}) == {}


def test_clustered_intervals_equal_cluster_robust_ones_of_statsmodels() -> None:
    import numpy as np

    chance = random.Random(2)
    groups = []
    for _ in range(30):
        ability = chance.random()
        groups.append([chance.random() < ability for _ in range(8)])
    outcomes = np.array([float(x) for group in groups for x in group])
    clusters = np.repeat(np.arange(30), 8)
    fit = OLS(outcomes, np.ones_like(outcomes)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}
    )
    assert clustered(groups) == pytest.approx(tuple(fit.conf_int()[0]), abs=1e-9)
    naive = wilson(int(outcomes.sum()), len(outcomes))
    assert clustered(groups).high - clustered(groups).low > 1.5 * (naive.high - naive.low)


def test_one_sample_a_prompt_is_wilsons_interval() -> None:
    assert clustered([[True]] * 11 + [[False]] * 39) == wilson(11, 50)
    assert clustered([[True, True], [], [False]]).low >= 0
    with pytest.raises(ValueError, match="no outcomes"):
        clustered([[]])


def test_pass_at_k_is_the_share_of_draws_with_a_right_one() -> None:
    chance = random.Random(3)
    samples = [True] * 3 + [False] * 7
    drawn = sum(any(chance.sample(samples, 4)) for _ in range(20_000)) / 20_000
    assert pass_at_k(10, 3, 4) == pytest.approx(drawn, abs=0.01)
    assert pass_at_k(4, 0, 2) == 0 and pass_at_k(4, 4, 1) == 1
    with pytest.raises(ValueError, match="pass@5"):
        pass_at_k(4, 1, 5)


@pytest.mark.parametrize(
    ("rate", "n"), [(0.5, 50), (0.12, 50), (0.3, 500), (0.66, 150), (0.0, 50), (1.0, 50)]
)
def test_the_smallest_difference_has_the_wanted_power(rate: float, n: int) -> None:
    found = minimum_detectable_effect(rate, n)
    chance = random.Random(5)
    directions = [rate + sign * found for sign in (1, -1) if 0 <= rate + sign * found <= 1]

    def power(other: float) -> float:
        shown = 0
        for _ in range(3000):
            a, b = (sum(chance.random() < p for _ in range(n)) / n for p in (rate, other))
            mean = (a + b) / 2
            shown += abs(a - b) > 1.96 * (2 * mean * (1 - mean) / n) ** 0.5
        return shown / 3000

    assert directions and 0.72 <= max(map(power, directions)) <= (0.88 if 0 < rate < 1 else 0.97)


def test_the_studys_pair_of_rates_is_no_difference_that_anybody_has_seen() -> None:
    assert wilson(6, 50) == pytest.approx((0.056, 0.238), abs=1e-3)  # 12 % of 50
    chance = random.Random(4)
    raw, default = [True] * 33 + [False] * 17, [True] * 27 + [False] * 23
    chance.shuffle(default)
    assert mcnemar(raw, default).p > 0.1 and minimum_detectable_effect(0.66, 50) > 0.12


@pytest.mark.parametrize("cells", [(0.6, 0.25, 0.05, 0.1), (0.05, 0.1, 0.1, 0.75), (0.9, 0.04, 0.04, 0.02)])
def test_paired_differences_are_covered_as_often_as_they_say(cells: tuple[float, ...]) -> None:
    chance = random.Random(6)
    truth, covered, rounds = cells[2] - cells[1], 0, 2000
    for _ in range(rounds):
        drawn = chance.choices(range(4), weights=cells, k=50)
        found = paired_difference(Paired(*(drawn.count(cell) for cell in range(4)), p=1.0))
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / rounds <= 0.995


def test_no_difference_on_few_prompts_is_no_proof_of_none() -> None:
    found = paired_difference(mcnemar([True] * 10, [True] * 10))
    assert found.low < -0.1 and found.high > 0.1
