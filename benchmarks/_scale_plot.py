"""The plot of `benchmarks scale`: time and peak memory against rows, both axes logarithmic, as an SVG of its own making."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
WIDTH, HEIGHT, MARGIN = 420, 320, 55


class Axes(NamedTuple):
    """A panel: where it is, and the powers of ten at its ends."""

    left: int
    x: tuple[int, int]
    y: tuple[int, int]

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point is drawn."""
        across, up = (
            (math.log10(value) - low) / (high - low) for value, (low, high) in ((x, self.x), (y, self.y))
        )
        return round(self.left + across * WIDTH, 1), round(MARGIN + (1 - up) * HEIGHT, 1)


def draw(lines: Iterable[dict[str, Any]]) -> str:
    """The SVG of some measured lines; of equal stage, rows and text the last counts.

    Args:
        lines: what `benchmarks scale` prints.
    """
    last = {(line["stage"], line["text"], line["rows"]): line for line in lines}
    stages = list(dict.fromkeys(stage for stage, _, _ in last))
    panels = [
        _panel(last, stages, MARGIN + 10, "seconds", lambda line: max(line["seconds"], 0.1)),
        _panel(last, stages, 2 * MARGIN + WIDTH + 40, "peak memory, MB", lambda line: line["peak_mb"]),
    ]
    legend = [
        f'<g transform="translate({MARGIN + 10 + 140 * n},{HEIGHT + 2 * MARGIN})"><rect width="12" height="12" fill="{COLOURS[n]}"/>'
        f'<text x="18" y="11">{stage}</text></g>'
        for n, stage in enumerate(stages)
    ]
    size = f"{2 * WIDTH + 3 * MARGIN + 60} {HEIGHT + 2 * MARGIN + 30}"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>', *panels, *legend, "</svg>", "",
    ])  # fmt: skip


def _panel(
    last: dict[tuple[str, int, int], Any], stages: list[str], left: int, title: str, value: Callable[[Any], float]
) -> str:  # fmt: skip
    x, y = (_powers([get(line) for line in last.values()]) for get in (lambda line: line["rows"], value))
    axes = Axes(left, x, y)
    drawn = [f'<text x="{left}" y="{MARGIN - 12}" font-weight="bold">{title}</text>']
    drawn += [_tick(axes, 10.0**power, None) for power in range(x[0], x[1] + 1)]
    drawn += [_tick(axes, None, 10.0**power) for power in range(y[0], y[1] + 1)]
    texts = sorted({text for _, text, _ in last}, reverse=True)
    for stage in stages:
        for text in texts:
            rows = sorted(rows for s, t, rows in last if (s, t) == (stage, text))
            points = [axes.place(n, value(last[stage, text, n])) for n in rows]
            drawn.append(_line(points, COLOURS[stages.index(stage)], dashed=text != texts[0]))
    return "\n".join(drawn)


def _powers(values: list[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _tick(axes: Axes, x: float | None, y: float | None) -> str:
    """A grid line across the panel, with its number."""
    across, up = axes.place(x or 10.0 ** axes.x[0], y or 10.0 ** axes.y[0])
    number = f"{x or y:,.0f}" if (x or y or 0) >= 1 else f"{y:g}"
    if x:
        label = f'<text x="{across}" y="{MARGIN + HEIGHT + 18}" text-anchor="middle">{number}</text>'
        return f'<path d="M{across} {MARGIN}v{HEIGHT}" stroke="#ddd"/>{label}'
    label = f'<text x="{axes.left - 6}" y="{up + 4}" text-anchor="end">{number}</text>'
    return f'<path d="M{axes.left} {up}h{WIDTH}" stroke="#ddd"/>{label}'


def _line(points: list[tuple[float, float]], colour: str, dashed: bool) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    dash = ' stroke-dasharray="5 3"' if dashed else ""
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>{dots}'
