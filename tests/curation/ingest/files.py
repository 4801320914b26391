"""Files to ingest, and what a corpus has of them afterwards."""

import json
from pathlib import Path
from typing import Any

from curation.corpus.store import Store
from curation.ingest.stage import IngestRecipe, run
from schemas.manifest import Manifest
from schemas.tables import TABLES

ROOT = Path(__file__).resolve().parents[3]


SAMPLES = ROOT / "curation" / "samples"


def recipe(**options: Any) -> IngestRecipe:
    return IngestRecipe.from_options(**{"format": "auto", "kind": None, "map": [], "source": None} | options)


def ingest(corpus: Path, *files: Path, **options: Any) -> Manifest:
    manifest = run(corpus, [str(file) for file in files], recipe(**options))
    assert manifest.counts.balance == 0
    return manifest


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def trace(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"t{number}",
        "prompt": f"Question {number}?",
        "reasoning": f"Think {number}.",
        "answer": "A.",
    } | more


def table(corpus: Path, name: str) -> list[dict[str, Any]]:
    """A table's rows, in an order that does not depend on parts."""
    rows = [row for batch in Store(corpus).scan(name) for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def tables(corpus: Path) -> dict[str, list[dict[str, Any]]]:
    return {name: table(corpus, name) for name in TABLES}


def verdict(**more: Any) -> dict[str, Any]:
    return {"source_id": "t1", "pattern": "weak_vacillation", "annotator": "human:a", "label": True} | more
