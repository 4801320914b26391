"""The pictures of docs/performance.md, drawn from figures that are kept: `python -m benchmarks._pictures`.

A picture for every stage is drawn from `ratios.json` (`make bench-renew`), and the growth curves from `growth.json`, which
`python -m benchmarks._pictures --growth` measures anew.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import _guard
from benchmarks._scale_plot import COLOURS, HEIGHT, MARGIN, WIDTH, Axes, _line, _powers, _tick

GROWTH = Path(__file__).with_name("growth.json")
IMAGES = Path(__file__).parents[1] / "docs" / "images"
TITLES = {
    "ingest": "curate ingest, 20,000 rows of 2.5 kB",
    "rules": "the rule annotators, 93 traces of 5 kB, spans included",
    "mix": "curate build-mix from 200,000 traces with 1,000,000 annotations",
    "dedup": "near-duplicates among 2,000 texts of 300 words",
    "score": "sft score, 500 replies of a tiny model",
}
LIMITS = {"pyarrow": "pyarrow alone (limit)", "scan": "reading the columns (limit)", "matching": "finding the cues alone (limit)",
          "bare engine": "the bare engine (limit)"}  # fmt: skip
SIZES = {"ingest": (2_000, 10_000, 40_000), "mix": (40_000, 100_000, 200_000), "dedup": (500, 2_000, 6_000)}
"""Rows at which the growth of a stage is measured; the others grow with the length of the text alone."""
SIZED: dict[str, Callable[[Path, int, int], _guard.Seconds]] = {
    "ingest": _guard.ingest,
    "mix": _guard.mix,
    "dedup": _guard.dedup,
}
BAR, LABEL = 26, 220


def bars(title: str, machine: str, seconds: Mapping[str, float]) -> str:
    """One stage: a bar for us, and one for everything it is compared with, the quickest first."""
    longest, height = max(seconds.values()), BAR * len(seconds) + 70
    drawn = []
    for n, (name, value) in enumerate(sorted(seconds.items(), key=lambda side: side[1])):
        top, width = 40 + BAR * n, max(1.0, round(value / longest * 420, 1))
        colour = COLOURS[0] if name == "ours" else "#bbbbbb" if name in LIMITS else COLOURS[1]
        drawn.append(
            f'<text x="{LABEL - 8}" y="{top + 14}" text-anchor="end">{LIMITS.get(name, name)}</text>'
            f'<rect x="{LABEL}" y="{top}" width="{width}" height="{BAR - 8}" fill="{colour}"/>'
            f'<text x="{LABEL + width + 6}" y="{top + 14}">{value:.3g} s ({value / seconds["ours"]:.2g})</text>'
        )
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>', f'<text x="12" y="22" font-weight="bold">{title}: processor time</text>',
        *drawn, f'<text x="12" y="{height - 10}" fill="#666">{machine}; in brackets: as a multiple of ours</text>', "</svg>", "",
    ])  # fmt: skip


def curves(growth: Mapping[str, Mapping[str, Mapping[str, float]]], machine: str) -> str:
    """Processor time against rows, both axes logarithmic: a panel for each stage, a curve for each side."""
    panels = []
    for n, (stage, sizes) in enumerate(growth.items()):
        rows = sorted(map(int, sizes))
        sides = list(sizes[str(rows[0])])
        values = [sizes[str(size)][side] for size in rows for side in sides]
        axes = Axes(MARGIN + n * (WIDTH + 70), _powers([*map(float, rows)]), _powers(values))
        panels += _panel(
            axes, stage, sides, {side: [(r, sizes[str(r)][side]) for r in rows] for side in sides}
        )
    size = f"{len(growth) * (WIDTH + 70) + 30} {HEIGHT + 2 * MARGIN + 130}"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>', *panels,
        f'<text x="{MARGIN}" y="{HEIGHT + 2 * MARGIN + 120}" fill="#666">{machine}</text>', "</svg>", "",
    ])  # fmt: skip


def _panel(
    axes: Axes, stage: str, sides: list[str], points: Mapping[str, list[tuple[int, float]]]
) -> list[str]:
    drawn = [
        f'<text x="{axes.left}" y="{MARGIN - 12}" font-weight="bold">{stage}: processor seconds by rows</text>'
    ]
    drawn += [_tick(axes, 10.0**power, None) for power in range(axes.x[0], axes.x[1] + 1)]
    drawn += [_tick(axes, None, 10.0**power) for power in range(axes.y[0], axes.y[1] + 1)]
    for n, side in enumerate(sides):
        limit, top = side in LIMITS, HEIGHT + MARGIN + 40 + 18 * n
        drawn.append(_line([axes.place(*point) for point in points[side]], COLOURS[n], dashed=limit))
        drawn.append(
            f'<rect x="{axes.left}" y="{top}" width="12" height="12" fill="{COLOURS[n]}"/>'
            f'<text x="{axes.left + 18}" y="{top + 11}">{LIMITS.get(side, side)}</text>'
        )
    return drawn


def draw_all(kept: Mapping[str, Any], growth: Mapping[str, Any]) -> dict[str, str]:
    """Every picture by the name of its file."""
    pictures = {
        f"performance-{stage}.svg": bars(TITLES[stage], kept["machine"], seconds)
        for stage, seconds in kept["stages"].items()
    }
    return pictures | {"performance-growth.svg": curves(growth["stages"], growth["machine"])}


def measure_growth() -> dict[str, Any]:
    """The stages at several sizes."""
    found: dict[str, dict[str, _guard.Seconds]] = {}
    for stage, sizes in SIZES.items():
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                seconds = SIZED[stage](Path(folder), size, 1)
            found.setdefault(stage, {})[str(size)] = {side: round(one, 3) for side, one in seconds.items()}
            print(stage, size, found[stage][str(size)], flush=True)
    return {"machine": _guard.machine(), "stages": found}


def main(arguments: list[str]) -> None:
    """Draw; with `--growth` measure the growth before."""
    if "--growth" in arguments:
        GROWTH.write_text(json.dumps(measure_growth(), indent=2) + "\n")
    for name, svg in draw_all(json.loads(_guard.KEPT.read_text()), json.loads(GROWTH.read_text())).items():
        (IMAGES / name).write_text(svg)


if __name__ == "__main__":
    main(sys.argv[1:])
