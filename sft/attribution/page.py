"""The HTML page of `sft attribute`: the strongest rows of each behaviour with their patterns, masked, and where the top rows come from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pyarrow as pa

from curation.corpus.store import write_file
from curation.page import render
from schemas.choices import RowGroup
from schemas.manifest import Manifest
from schemas.row import Row
from sft.attribution.leave_out import CLUSTER, groups_of

ROWS = 20
"""Rows shown at either end."""
TOP = 0.05
"""The share of the mix whose origin is told."""
SHOWN = 240
"""Characters of a text."""
NONE = "none"
"""The group of rows of no known group."""


class Origin(NamedTuple):
    """How a group of rows is represented among the strongest."""

    group: str
    value: str
    rows: int
    """Of the mix."""
    top: int
    """Among the top rows."""
    share: float
    """Of the top rows."""
    lift: float
    """Its share of the top rows over its share of the mix."""


class ShownRow(NamedTuple):
    """A row on the page; texts are masked by the template."""

    rank: int
    influence: float
    row: Row
    prompt: str
    answer: str


def origins(
    rows: Mapping[str, Row], ranked: Sequence[str], families: Mapping[str, str] | None = None
) -> list[Origin]:
    """Where the top rows come from, by group, the most overrepresented first; groupings with one value are left out.

    Args:
        rows: of the mix by row_id.
        ranked: row_ids, strongest first.
        families: prompt_id -> cluster of near-duplicate prompts; of clusters only those with several rows at the top are told.
    """
    top = ranked[: max(1, round(TOP * len(ranked)))]
    found = []
    for group in get_args(RowGroup):
        of = groups_of(group, families or {})
        everywhere = Counter(value for key in ranked for value in of(rows[key]) or [NONE])
        there = Counter(value for key in top for value in of(rows[key]) or [NONE])
        if len(everywhere) > 1:
            found += [
                Origin(group, value, n, there[value], there[value] / len(top), there[value] * len(ranked) / (n * len(top)))
                for value, n in everywhere.items()
                if group != CLUSTER or (value != NONE and there[value] > 1)
            ]  # fmt: skip
    order = list(get_args(RowGroup))
    return sorted(found, key=lambda one: (order.index(one.group), -one.lift, one.value))


def write_page(
    out: Path,
    rows: Sequence[Row],
    result: pa.Table,
    manifest: Manifest,
    families: Mapping[str, str] | None = None,
) -> None:
    """Write the page.

    Args:
        out: the file.
        rows: of the mix.
        result: rows of `ranking.INFLUENCES`.
        manifest: of the attribution.
        families: as of `origins`.
    """
    known = {row.row_id: row for row in rows}
    told: Any = manifest.summary["behaviours"]
    sections = [
        one
        | _section(known, [row for row in result.to_pylist() if row["behaviour"] == one["name"]], families)
        for one in told
    ]
    page = render(
        "sft.attribution", "influence.html", title="Which rows did it", sections=sections, manifest=manifest, top=TOP
    )  # fmt: skip
    write_file(out, page.encode())


def _section(
    rows: Mapping[str, Row], lines: Sequence[dict[str, Any]], families: Mapping[str, str] | None
) -> dict[str, Any]:
    return {
        "origins": origins(rows, [line["row_id"] for line in lines], families),
        "ends": {
            "Strongest rows": [_shown(rows, line) for line in lines[:ROWS]],
            "Rows against it": [
                _shown(rows, line) for line in lines[: -ROWS - 1 : -1] if line["influence"] < 0
            ],
        },
    }


def _shown(rows: Mapping[str, Row], line: dict[str, Any]) -> ShownRow:
    row = rows[line["row_id"]]
    return ShownRow(line["rank"], line["influence"], row, row.prompt[:SHOWN], row.answer[:SHOWN])
