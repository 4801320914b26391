import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from sft.scoring.statistics import (
    Paired,
    clustered,
    holm,
    minimum_detectable_effect,
    paired,
    paired_difference,
    pass_at_k,
    wilson,
)


def once(labels: Sequence[bool]) -> list[Fraction]:
    """One sample of each prompt."""
    return [Fraction(label) for label in labels]


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
def test_with_one_sample_the_test_is_mcnemars(only_first: int, only_second: int) -> None:
    first = [True] * (10 + only_first) + [False] * (only_second + 7)
    second = [True] * 10 + [False] * only_first + [True] * only_second + [False] * 7
    found = paired(once(first), once(second))
    assert (found.prompts, found.only_first, found.only_second) == (len(first), only_first, only_second)
    expected = reference_mcnemar([[10, only_first], [only_second, 7]], exact=True).pvalue
    assert found.p == pytest.approx(min(1.0, expected))


def test_with_several_samples_the_test_is_scipys_permutation_test() -> None:
    from scipy.stats import permutation_test

    chance = random.Random(9)
    first = [Fraction(chance.randint(0, 4), 4) for _ in range(12)]
    second = [min(Fraction(1), x + Fraction(chance.randint(-1, 2), 3)) for x in first]
    expected = permutation_test(
        ([float(x) for x in first], [float(x) for x in second]),
        lambda a, b: float(np.mean(a - b)), permutation_type="samples", n_resamples=np.inf,
    )  # fmt: skip
    assert paired(first, second).p == pytest.approx(expected.pvalue, abs=1e-9)


def test_six_to_nothing_is_the_least_that_tells_two_models_apart() -> None:
    assert (
        paired(once([True] * 6), once([False] * 6)).p < 0.05 < paired(once([True] * 5), once([False] * 5)).p
    )


def test_models_on_different_prompts_are_not_paired() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired(once([True, True]), once([True]))
    with pytest.raises(ValueError, match="no prompts"):
        paired([], [])


def test_holm_equals_statsmodels() -> None:
    chance = random.Random(1)
    values = {f"pair {n}": chance.random() ** 4 for n in range(12)}
    expected = multipletests(list(values.values()), method="holm")[1]
    assert list(holm(values).values()) == pytest.approx(list(expected))
    assert holm({}) == {}


@pytest.mark.parametrize(("prompts", "samples", "rate", "likeness"), [
    (30, 8, 0.95, 0.7), (30, 8, 0.5, 0.7), (10, 4, 0.2, 0.3), (100, 2, 0.5, 0.3),
])  # fmt: skip
def test_clustered_intervals_cover_as_often_as_they_say(
    prompts: int, samples: int, rate: float, likeness: float
) -> None:
    draw, size = np.random.default_rng(1), 1 / likeness - 1
    covered, rounds = 0, 500
    for _ in range(rounds):
        abilities = draw.beta(rate * size, (1 - rate) * size, prompts)
        found = clustered((draw.random((prompts, samples)) < abilities[:, None]).tolist())
        covered += found.low <= rate <= found.high
    assert covered / rounds >= 0.93


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
    ("n", "disagreement", "tests"), [(50, 0.3, 1), (50, 0.0, 1), (150, 0.1, 6), (30, 0.5, 3)]
)
def test_the_smallest_difference_is_found_as_often_as_it_says(
    n: int, disagreement: float, tests: int
) -> None:
    found = minimum_detectable_effect(Paired(n, 0, 0, (0.5, 0.5), disagreement, 1.0), tests)
    share, draw = max(disagreement, found), np.random.default_rng(5)
    shown, rounds = 0, 600
    for _ in range(rounds):
        d = draw.choice([1, -1, 0], n, p=[(share + found) / 2, (share - found) / 2, 1 - share])
        shown += paired([Fraction(int(x < 0)) for x in d], [Fraction(int(x > 0)) for x in d]).p < 0.05 / tests
    assert 0.76 <= shown / rounds <= 0.88


def test_the_studys_pair_of_rates_is_no_difference_that_anybody_has_seen() -> None:
    assert wilson(6, 50) == pytest.approx((0.056, 0.238), abs=1e-3)  # 12 % of 50
    chance = random.Random(4)
    raw, default = [True] * 33 + [False] * 17, [True] * 27 + [False] * 23
    chance.shuffle(default)
    found = paired(once(raw), once(default))
    assert found.p > 0.1 and minimum_detectable_effect(found) > 0.12


@pytest.mark.parametrize("cells", [(0.6, 0.25, 0.05, 0.1), (0.05, 0.1, 0.1, 0.75), (0.9, 0.04, 0.04, 0.02)])
def test_paired_differences_are_covered_as_often_as_they_say(cells: tuple[float, ...]) -> None:
    chance = random.Random(6)
    truth, covered, rounds = cells[2] - cells[1], 0, 2000
    for _ in range(rounds):
        drawn = chance.choices(range(4), weights=cells, k=50)
        found = paired_difference(paired(once([x < 2 for x in drawn]), once([x in (0, 2) for x in drawn])))
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / rounds <= 0.995


def test_no_difference_on_few_prompts_is_no_proof_of_none() -> None:
    found = paired_difference(paired(once([True] * 10), once([True] * 10)))
    assert found.low < -0.1 and found.high > 0.1
