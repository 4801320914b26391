import pytest

from annotators.statistics.calibration import Confusion
from annotators.statistics.prevalence import precision_at, prevalence

MEASURED = Confusion(true_positives=90, false_positives=20, false_negatives=10, true_negatives=80)


@pytest.mark.parametrize("common", [0.0, 0.02, 0.3, 1.0])
def test_the_prevalence_is_found_again_from_what_the_annotator_calls_positive(common: float) -> None:
    called = 0.9 * common + 0.2 * (1 - common)
    assert prevalence(called, MEASURED) == pytest.approx(common, abs=1e-9)


def test_fewer_positives_than_false_alarms_alone_would_give_mean_that_there_are_none() -> None:
    assert prevalence(0.05, MEASURED) == 0.0


def test_precision_falls_with_prevalence() -> None:
    assert precision_at(0.5, MEASURED) == pytest.approx(90 / 110)
    assert precision_at(0.05, MEASURED) == pytest.approx(0.045 / (0.045 + 0.19))
    assert precision_at(0.0, Confusion(9, 0, 1, 90)) is None


def test_an_annotator_no_better_than_chance_tells_no_prevalence() -> None:
    assert prevalence(0.3, Confusion(30, 30, 70, 70)) is None
    assert (
        prevalence(0.3, Confusion(10, 0, 0, 0)) is None and precision_at(0.3, Confusion(0, 1, 0, 9)) is None
    )
