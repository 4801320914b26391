"""A comparison as Markdown, CSV, LaTeX, JSON data or an HTML page; names are escaped for each."""

import csv as csv_home
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

from curation.corpus.store import write_file
from curation.page import render
from schemas.choices import TableFormat
from sft.comparison import glossary, overview
from sft.comparison.results import ALPHA, Comparison


def rows(comparison: Comparison) -> list[list[str]]:
    """The table as strings, header first: rate and interval in percent, k/n, coverage."""
    return [
        ["model", *comparison.columns],
        *([model, *(cell.text for cell in cells)] for model, cells in comparison.table.items()),
    ]


def markdown(comparison: Comparison) -> str:
    """The table in Markdown."""
    heading, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows(comparison)]
    lines = [heading, ["---"] * len(heading), *body]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return table + "".join(f"\n{_one_line(note)}\n" for note in comparison.notes)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def csv(comparison: Comparison) -> str:
    """One line per model and column, with k, n, rate, interval and coverage; leading formula signs are escaped."""
    out = StringIO()
    writer = csv_home.writer(out, lineterminator="\n")
    writer.writerow(
        ["model", "column", "k", "n", "rate", "low", "high", "asked", "coverage", "measure", "judge"]
    )
    for model, cells in comparison.table.items():
        for column, rate in cells:
            values = (
                (rate.k, rate.n, rate.rate, rate.low, rate.high, rate.asked, rate.coverage)
                if rate
                else ("",) * 7
            )
            detail = comparison.details[column]
            told = map(_harmless, (detail.measure, detail.judge))
            writer.writerow([_harmless(model), _harmless(column), *values, *told])
    for model, reason in comparison.failed.items():
        writer.writerow([_harmless(model), "failed", *[""] * 7, _harmless(reason), ""])
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def latex(comparison: Comparison) -> str:
    """The table as a LaTeX tabular (booktabs)."""
    heading, *body = [[_escaped(cell) for cell in row] for row in rows(comparison)]
    lines = [" & ".join(row) + r" \\" for row in (heading, *body)]
    columns = "l" + "r" * len(comparison.columns)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {_escaped(' '.join(note.split()))}" for note in comparison.notes),
            "",
        ]
    )


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def page(comparison: Comparison, title: str) -> str:
    """The comparison as one self-contained HTML page without any prompt text."""
    return render(
        "sft.comparison",
        "compare.html",
        title=title,
        headline=overview.headline(comparison),
        comparison=comparison,
        axes=overview.axes(comparison),
        change_axis=overview.change_axis(comparison),
        plots=overview.plots(comparison),
        tested=overview.tested_pairs(comparison),
        meanings=glossary.meanings(column.measure for column in comparison.details.values()),
        words=glossary.words(),
        alpha=ALPHA,
    )


def document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON data."""
    return {
        "models": comparison.models,
        "table": {
            model: {column: rate.model_dump() if rate else None for column, rate in cells}
            for model, cells in comparison.table.items()
        },
        "differences": [
            {
                **difference._asdict(),
                "pair": difference.pair._asdict(),
                "bounds": difference.bounds._asdict() if difference.bounds else None,
                "verdict": difference.conclusion,
            }
            for difference in comparison.differences
        ],
        "flips": comparison.flips,
        "base": comparison.base,
        "columns": {name: column._asdict() for name, column in comparison.details.items()},
        "failed": dict(comparison.failed),
        "spread": {name: dict(columns) for name, columns in comparison.spread.items()},
        "joint": {
            title: {
                model: {
                    "cells": {cell.column: cell.rate and cell.rate.model_dump() for cell in result.cells},
                    "effects": result.effects,
                }
                for model, result in of_suite.items()
            }
            for title, of_suite in comparison.joint.items()
        },
        "best_of": {
            model: {title: [one.model_dump() for one in of] for title, of in of_model.items()}
            for model, of_model in comparison.best_of.items()
        },
        "changes": [
            {**change._asdict(), "interval": change.interval._asdict()} for change in comparison.changes
        ],
    }


FORMATS: dict[TableFormat, Callable[[Comparison], str]] = {"markdown": markdown, "csv": csv, "latex": latex}


def write_page(comparison: Comparison, out: Path, title: str) -> None:
    """Write the HTML page."""
    write_file(out, page(comparison, title).encode())
