"""The bands of a cascade: fitted once on a sample that both annotators judged, and kept in the corpus.

They are kept since a later sample would give other bands, and thus another annotator: a run that was killed goes on with the
bands it began with. Delete `cascades/NAME.json` to fit anew.
"""

import json
from collections.abc import Mapping, Sequence
from math import nextafter
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from annotators.cascade import Band
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, select
from curation.corpus.store import Store, write_file
from curation.recipe import Recipe
from schemas.ids import canonical_json, content_id
from schemas.patterns import RISKY_PATTERNS

FAMILY = "cascade"
LEAST = 5
"""Positives of the sample above a band, so that its precision is one."""


class CascadeSettings(Recipe):
    """How a cascade is fitted."""

    first: str = "embedding"
    """The cheap annotator; it must give scores."""
    recall: float = Field(default=0.95, gt=0, le=1)
    """Least share of the judge's positives that are found."""
    precision: float = Field(default=0.95, gt=0, le=1)
    """Least share of right labels among those that are called present without the judge."""
    sample: int = Field(default=200, ge=20)
    """Traces that both judge, to fit the bands."""
    audit: float = Field(default=0.05, ge=0, le=1)
    """Share of the sure traces about which the judge is asked all the same."""


class JudgedScore(NamedTuple):
    """The cheap annotator's score beside the judge's label."""

    score: float
    truth: bool


def fit_band(sample: Sequence[JudgedScore], recall: float, precision: float) -> Band:
    """The widest sure ends that keep a wanted recall and precision on the sample.

    Where the sample has no positive, only scores higher than any in it are in doubt; without a sample all are.
    """
    positives = sorted(one.score for one in sample if one.truth)
    if not positives:
        return Band(nextafter(max((one.score for one in sample), default=-1.0), 2.0), None)
    missed = int((1 - recall) * len(positives) + 1e-9)
    low = positives[missed]
    high = None
    for threshold in sorted({one.score for one in sample if one.score > low}, reverse=True):
        above = [one.truth for one in sample if one.score >= threshold]
        if len(above) >= LEAST and sum(above) >= precision * len(above):
            high = threshold
    return Band(low, high)


def sample_ids(connection: Connection, size: int) -> set[str]:
    """The traces of the sample: drawn by hash among those with a reasoning, harmful queries first."""
    query = sql_file("curation.annotate", "cascade_sample.sql")
    return {row[0] for row in connection.execute(query, {"size": size}).fetchall()}


def fitted(corpus: Store, name: str, settings: CascadeSettings) -> tuple[dict[str, Band], int] | None:
    """Bands and version of a cascade as they were fitted with these settings; null if they are to be fitted."""
    kept = _kept(_path(corpus, name))
    if kept.get("settings") != settings.model_dump():
        return None
    return {pattern: Band(*band) for pattern, band in kept["bands"].items()}, int(kept["version"])


def fit(
    corpus: Store, connection: Connection, name: str, settings: CascadeSettings, first: str, judge: str
) -> tuple[dict[str, Band], int]:
    """Fit the bands on the traces that both annotators ("name@version") judged, and keep them as a new version."""
    query = sql_file("curation.annotate", "cascade_labels.sql")
    rows = select(connection, query, {"first": first, "judge": judge}).to_pylist()
    bands = {
        pattern: fit_band(
            [JudgedScore(row["score"], row["label"]) for row in rows if row["pattern"] == pattern],
            settings.recall,
            settings.precision,
        )
        for pattern in RISKY_PATTERNS
    }
    path = _path(corpus, name)
    version = int(_kept(path).get("version", 0)) + 1
    kept = {
        "name": name,
        "version": version,
        "settings": settings.model_dump(),
        "sample": len({r["trace_id"] for r in rows}),
    }
    write_file(path, canonical_json(kept | {"bands": {p: list(band) for p, band in bands.items()}}) + b"\n")
    return bands, version


def report(connection: Connection, annotator: str) -> dict[str, Any]:
    """Calls saved, and on the audit sample the agreement with judging everything, per pattern."""
    query = sql_file("curation.annotate", "cascade_report.sql")
    rows: list[Mapping[str, Any]] = select(connection, query, {"annotator": annotator}).to_pylist()
    traces = max((row["traces"] for row in rows), default=0)
    asked = max((row["asked"] for row in rows), default=0)
    return {
        "traces": traces,
        "asked": asked,
        "saved": round(1 - asked / traces, 4) if traces else None,
        "audited": max((row["audited"] for row in rows), default=0),
        "agreement": {
            row["pattern"]: round(1 - row["other"] / row["audited"], 4) if row["audited"] else None
            for row in rows
        },
    }


def _path(corpus: Store, name: str) -> Path:
    return corpus.root / "cascades" / f"{content_id(name)[:16]}.json"


def _kept(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    kept: dict[str, Any] = json.loads(path.read_bytes())
    return kept
