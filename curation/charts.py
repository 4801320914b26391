"""Charts of the HTML pages: axes that fit the data, curves, and points with labels that do not overlap.

Here are places and words only; `templates/charts.html` draws them as inline SVG. Places are shares of an axis in percent, or
SVG units of a drawing area of WIDTH by HEIGHT.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

WIDTH, HEIGHT = 400, 220
LETTER, LINE = 7.2, 14.0
"""Size of a letter of a label, generously, and of its line."""
POINTS = 60
"""Of a curve; these show their values."""
INTERVALS = 7
"""Of an axis, at most."""


class Tick(NamedTuple):
    """A line across a chart."""

    place: float
    """In percent of the axis."""
    label: str


class Axis(NamedTuple):
    """From one number to another."""

    low: float
    high: float
    ticks: list[Tick]

    def at(self, value: float) -> float:
        """Where a value stands, in percent of the axis; what is outside stands at its end."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)


class Dot(NamedTuple):
    """A point of a curve: where it is drawn, in SVG units, and what it is."""

    x: float
    y: float
    at: int
    value: float
    told: str


class Line(NamedTuple):
    """A curve."""

    name: str
    path: str
    """As SVG writes it."""
    dots: list[Dot]
    first: float
    last: float


class LineChart(NamedTuple):
    """Curves over steps, on axes that they share."""

    title: str
    x: Axis
    y: Axis
    lines: list[Line]


class Placed(NamedTuple):
    """A named point with whiskers, in SVG units, and where its label stands."""

    name: str
    x: float
    y: float
    left: float
    right: float
    top: float
    bottom: float
    label_x: float
    label_y: float
    told: str


class Scatter(NamedTuple):
    """Points of two rates."""

    x_title: str
    y_title: str
    x: Axis
    y: Axis
    points: list[Placed]


class Spot(NamedTuple):
    """A point of a scatter plot as it is measured: rates with intervals."""

    name: str
    x: tuple[float, float, float]
    """Low, rate, high."""
    y: tuple[float, float, float]


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def axis(values: Iterable[float], *, rate: bool = False) -> Axis:
    """An axis around some values, in steps of 1, 2 or 5 times a power of ten (Heckbert 1990, "Nice numbers for graph labels").

    Args:
        values: all of the data and of its whiskers; zero is on the axis where it is near.
        rate: the labels are percentages, and the axis stays within them.
    """
    known = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    low = 0.0 if 0 < low < high / 3 else low
    span = (high - low) or abs(high) or 1.0
    step = _nice(span / INTERVALS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if first == last:
        last += 1
        first -= 1 if low and not (rate and low >= 1) else 0
    if rate and last * step > 1 + 1e-9:
        first, last = first - 1, last - 1
    marks = [number * step for number in range(first, last + 1)]
    bounds = Axis(marks[0], marks[-1], [])
    return bounds._replace(ticks=[Tick(bounds.at(mark), _label(mark, step, rate)) for mark in marks])


def _nice(step: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def _label(mark: float, step: float, rate: bool) -> str:
    if rate:
        mark, step = 100 * mark, 100 * step
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{mark:,.{digits}f}" if digits < 4 and abs(mark) < 1e7 else f"{mark:.1e}"
    return f"{text} %" if rate else text


def line_chart(title: str, series: Mapping[str, Sequence[tuple[int, float]]]) -> LineChart:
    """Curves as a chart.

    Args:
        title: what the curves are.
        series: (step, value) by name; values that are no numbers are left out.
    """
    finite = {
        name: [(step, value) for step, value in points if math.isfinite(value)]
        for name, points in series.items()
    }
    everything = [point for points in finite.values() for point in points]
    x, y = axis(step for step, _ in everything), axis(value for _, value in everything)
    lines = [_line(name, points, x, y) for name, points in finite.items() if points]
    return LineChart(title, x, y, lines)


def _line(name: str, points: Sequence[tuple[int, float]], x: Axis, y: Axis) -> Line:
    placed = [
        Dot(_across(x, step), _down(y, value), step, value, f"{name}, step {step:,}: {value:.4g}")
        for step, value in points
    ]
    shown = placed[:: math.ceil(len(placed) / POINTS)]
    path = " ".join(f"{dot.x:.1f},{dot.y:.1f}" for dot in placed)
    return Line(name, path, shown, points[0][1], points[-1][1])


def scatter(x_title: str, y_title: str, spots: Sequence[Spot]) -> Scatter:
    """Points with whiskers as a chart; each label stands as near to its point as there is room."""
    x = axis((value for spot in spots for value in spot.x), rate=True)
    y = axis((value for spot in spots for value in spot.y), rate=True)
    drawn = [([_across(x, v) for v in spot.x], [_down(y, v) for v in spot.y]) for spot in spots]
    taken = [
        box
        for (left, across, right), (bottom, down, top) in drawn
        for box in (
            _around(across, down, 5, 5),
            _Box(left, down - 1, right, down + 1),
            _Box(across - 1, top, across + 1, bottom),
        )
    ]
    points = []
    for spot, ((left, across, right), (bottom, down, top)) in zip(spots, drawn, strict=True):
        box = _free(across, down, len(spot.name), taken)
        taken.append(box)
        told = f"{spot.name}: {x_title} {_interval(spot.x)}, {y_title} {_interval(spot.y)}"
        points.append(
            Placed(spot.name, across, down, left, right, top, bottom, box.left, box.bottom - 3, told)
        )
    return Scatter(x_title, y_title, x, y, points)


def _interval(rate: tuple[float, float, float]) -> str:
    low, middle, high = (100 * value for value in rate)
    return f"{middle:.1f} % [{low:.1f}, {high:.1f}]"


def _across(x: Axis, value: float) -> float:
    return round(WIDTH * x.at(value) / 100, 1)


def _down(y: Axis, value: float) -> float:
    return round(HEIGHT * (1 - y.at(value) / 100), 1)


def _around(x: float, y: float, wide: float, high: float) -> _Box:
    return _Box(x - wide, y - high, x + wide, y + high)


def _free(x: float, y: float, letters: int, taken: Sequence[_Box]) -> _Box:
    """The nearest place for a label that meets nothing and is in the drawing area; where none is left, the one that meets least."""
    half = min(letters * LETTER, WIDTH) / 2
    inside = [
        _around(
            min(max(x + right * (half + 7), half), WIDTH - half),
            min(max(y + down * 9, LINE / 2), HEIGHT - LINE / 2),
            half,
            LINE / 2,
        )
        for down, right in sorted(product(range(-24, 25), (-1, 0, 1)), key=lambda way: (abs(way[0]), -way[1]))
        if (down, right) != (0, 0)
    ]
    return min(inside, key=lambda box: sum(box.meets(other) for other in taken))
