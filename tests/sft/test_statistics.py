import pytest
from statsmodels.stats.proportion import proportion_confint

from sft.statistics import wilson


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
    with pytest.raises(ValueError, match="is no rate"):
        wilson(k, n)
