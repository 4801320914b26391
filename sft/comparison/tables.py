"""A comparison as Markdown, CSV, LaTeX, plain data or an HTML page; what comes from names is escaped for each."""

import csv as csv_home
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from curation.corpus.store import write_file
from curation.page import render
from sft.comparison.stage import SURE, Cell, Comparison
from sft.scoring.suites import Rate


def rows(found: Comparison) -> list[list[str]]:
    """The table as texts, its heading first: rate and interval in percent."""
    return [["model", *found.columns], *([model, *map(_text, cells)] for model, cells in found.table.items())]


def _text(cell: Cell) -> str:
    if cell.rate is None or cell.rate.rate is None or cell.rate.low is None or cell.rate.high is None:
        return "-"
    low, high = 100 * cell.rate.low, 100 * cell.rate.high
    return f"{100 * cell.rate.rate:.1f} [{low:.1f}, {high:.1f}]"


def markdown(found: Comparison) -> str:
    """The table in Markdown."""
    heading, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows(found)]
    lines = [heading, ["---"] * len(heading), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def csv(found: Comparison) -> str:
    """One line per model and column, with k, n, rate and interval; a leading sign of a formula is defused."""
    out = StringIO()
    writer = csv_home.writer(out, lineterminator="\n")
    writer.writerow(["model", "column", "k", "n", "rate", "low", "high"])
    for model, cells in found.table.items():
        for column, rate in cells:
            values = (rate.k, rate.n, rate.rate, rate.low, rate.high) if rate else ("",) * 5
            writer.writerow([_harmless(model), _harmless(column), *values])
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def latex(found: Comparison) -> str:
    """The table as a LaTeX tabular (booktabs)."""
    heading, *body = [[_escaped(cell) for cell in row] for row in rows(found)]
    lines = [" & ".join(row) + r" \\" for row in (heading, *body)]
    columns = "l" + "r" * len(found.columns)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


class Point(NamedTuple):
    """A model in a Pareto plot, with its intervals, all from 0 to 1."""

    model: str
    x: Rate
    y: Rate


def points(found: Comparison, x: str, y: str) -> list[Point]:
    """The models that have both columns."""
    placed = []
    for model, cells in found.table.items():
        by_column = {column: rate for column, rate in cells if rate}
        if x in by_column and y in by_column:
            placed.append(Point(model, by_column[x], by_column[y]))
    return placed


def page(found: Comparison, title: str) -> str:
    """The comparison as one HTML page that loads nothing from elsewhere and holds no text of any prompt."""
    attacks = [column for column in found.columns if column.startswith("ASR ")]
    plots = [
        (x, y, placed)
        for y in attacks[:1]
        for x in ("over-refusal", "accuracy")
        if (placed := points(found, x, y))
    ]
    return render("sft.comparison", "compare.html", title=title, found=found, plots=plots, sure=SURE)


def document(found: Comparison) -> dict[str, Any]:
    """The comparison as plain data."""
    return {
        "models": found.models,
        "table": {
            model: {column: rate.model_dump() if rate else None for column, rate in cells}
            for model, cells in found.table.items()
        },
        "differences": [
            {**difference._asdict(), "pair": difference.pair._asdict(), "verdict": difference.verdict}
            for difference in found.differences
        ],
        "flips": found.flips,
        "base": found.base,
        "changes": [{**change._asdict(), "interval": change.interval._asdict()} for change in found.changes],
    }


FORMATS = {"markdown": markdown, "csv": csv, "latex": latex}


def write_page(found: Comparison, out: Path, title: str) -> None:
    """Write the HTML page."""
    write_file(out, page(found, title).encode())
