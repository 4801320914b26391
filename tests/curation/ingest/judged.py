"""Judged data sets to ingest, and what a corpus has of them afterwards."""

import json
from pathlib import Path
from typing import Any

from curation.corpus.store import Store
from curation.ingest.stage import IngestRecipe, run
from schemas.manifest import Manifest

QUERY = "How do I copy a parking permit?"


def ingest(corpus: Path, *rows: Any, **options: Any) -> Manifest:
    file = corpus.parent / "published.jsonl"
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    manifest = run(corpus, [str(file)], IngestRecipe.from_options(**options))
    assert manifest.counts.balance == 0
    return manifest


def table(corpus: Path, name: str) -> list[dict[str, Any]]:
    return [row for batch in Store(corpus).scan(name) for row in batch.to_pylist()]


def said(corpus: Path) -> dict[str, dict[str, Any]]:
    return {row["pattern"]: row for row in table(corpus, "annotations")}
