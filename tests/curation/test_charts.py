"""Axes that fit, and labels that do not overlap."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation import charts

VALUES = st.lists(st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 4)), min_size=1, max_size=20)


@given(VALUES)
def test_an_axis_holds_every_value_and_wastes_less_than_it_uses(values: list[float]) -> None:
    axis = charts.axis(values)
    assert axis.low <= min(values) + 1e-9 and max(values) <= axis.high + 1e-9
    assert 2 <= len(axis.ticks) <= 10
    assert len({tick.label for tick in axis.ticks}) == len(axis.ticks)
    places = [tick.place for tick in axis.ticks]
    assert places[0] == 0 and places[-1] == 100 and places == sorted(places)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.02, 0.11], ["0 %", "2 %", "4 %", "6 %", "8 %", "10 %", "12 %"]),
        ([0.71, 0.78], ["71 %", "72 %", "73 %", "74 %", "75 %", "76 %", "77 %", "78 %"]),
        ([1.0, 1.0], ["80 %", "100 %"]),
        ([0.0], ["0 %", "20 %"]),
        ([], ["0 %", "20 %"]),
    ],
)
def test_the_axis_of_rates_fits_them_and_stays_within_them(values: list[float], labels: list[str]) -> None:
    assert [tick.label for tick in charts.axis(values, rate=True).ticks] == labels


def test_steps_are_whole_and_small_losses_keep_their_digits() -> None:
    chart = charts.line_chart("loss", {"a": [(3, 0.0041), (120, 0.0012)], "b": [(120, float("nan"))]})
    assert [tick.label for tick in chart.x.ticks] == ["0", "20", "40", "60", "80", "100", "120"]
    assert [tick.label for tick in chart.y.ticks] == ["0.000", "0.001", "0.002", "0.003", "0.004", "0.005"]
    (line,) = chart.lines
    assert (line.first, line.last) == (0.0041, 0.0012)
    assert line.dots[0].told == "a, step 3: 0.0041" and line.dots[-1].x == charts.WIDTH


def test_a_long_curve_is_drawn_whole_and_shows_at_most_sixty_values() -> None:
    (line,) = charts.line_chart("loss", {"a": [(n, 1 / (n + 1)) for n in range(1000)]}).lines
    assert len(line.path.split()) == 1000 and len(line.dots) <= charts.POINTS


def test_labels_of_points_meet_neither_each_other_nor_a_point() -> None:
    chance = random.Random(7)
    spots = []
    for n in range(10):
        x, y = chance.uniform(0.4, 0.5), chance.uniform(0.1, 0.2)
        spots.append(charts.Spot(f"model-{n:02}", (x - 0.02, x, x + 0.02), (y - 0.02, y, y + 0.02)))
    points = charts.scatter("refusals", "attacks", spots).points
    boxes = [(p.label_x, p.label_y, p.label_x + len(p.name) * charts.LETTER) for p in points]
    for n, (left, line, right) in enumerate(boxes):
        assert left >= 0 and right <= charts.WIDTH + 1e-6 and charts.LINE - 4 <= line <= charts.HEIGHT
        for other_left, other_line, other_right in boxes[n + 1 :]:
            apart = right <= other_left or other_right <= left or abs(line - other_line) >= charts.LINE - 1e-6
            assert apart, (boxes[n], points[n].name)
        for point in points:
            assert not (left < point.x < right and line - charts.LINE + 3 < point.y < line + 3)
