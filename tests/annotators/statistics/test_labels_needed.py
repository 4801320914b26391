import pytest

from annotators.statistics.calibration import Confusion
from annotators.statistics.labels_needed import labels_until_known, labels_until_reached


def test_a_recall_of_nine_tenths_is_known_to_a_twentieth_from_about_140_positives_on() -> None:
    tenth_positive = Confusion(9, 1, 1, 89)
    more = labels_until_known(tenth_positive)
    assert more is not None and 1200 < more < 1450
    assert labels_until_known(Confusion(180, 10, 20, 190)) == 0
    assert labels_until_known(Confusion(0, 3, 0, 50)) is None


@pytest.mark.parametrize(
    ("curve", "more"),
    [
        ([(25, 0.5), (50, 0.6), (100, 0.7)], 300),
        ([(25, 0.8), (100, 0.95)], 0),
        ([(25, 0.7), (100, 0.7)], None),
        ([(25, 0.7), (100, 0.5)], None),
        ([(25, None), (100, None)], None),
        ([(50, 0.50), (100, 0.501)], None),
        ([], None),
    ],
)
def test_labels_until_a_recall_is_reached_follow_the_curve(
    curve: list[tuple[int, float | None]], more: int | None
) -> None:
    found = labels_until_reached(curve)
    assert found == more or (more and found == pytest.approx(more, abs=2))
