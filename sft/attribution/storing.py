"""Keeps influences in the corpus that the mix was built from, where SQL, recipes and `curate why` find them (table `influences`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation import console
from curation.corpus.filling import sql_file
from curation.corpus.query import open_tables, select
from curation.corpus.store import Store
from schemas.errors import DataError
from schemas.ids import content_id
from schemas.manifest import Manifest


def store(corpus_dir: Path, result: pa.Table, manifest: Manifest) -> int:
    """Add influences as the next version; what is already in force is not added again. Returns the version.

    Args:
        corpus_dir: the corpus of the mix.
        result: rows of `ranking.INFLUENCES`.
        manifest: of the attribution.

    Raises:
        DataError: if none of the rows comes from a trace of this corpus.
        CorpusError: if there is no such corpus, or it cannot be written.
    """
    corpus = Store(corpus_dir)
    _check(corpus, set(result["trace_id"].to_pylist()))
    models: Any = manifest.recipe["models"]
    told = {"model": ", ".join(models), "mix_id": manifest.inputs[0].blake2b}
    lines = [row | told for row in result.to_pylist()]
    with corpus.writing("influences"):
        query, values = sql_file("sft.attribution", "in_force.sql"), {"behaviours": _behaviours(lines)}
        kept = select(open_tables(corpus), query, values).to_pylist()
        for row in kept:
            if row["in_force"] and row["attribution_id"] == content_id([row["version"], lines]):
                return int(row["version"])
        version = 1 + max((row["version"] for row in kept), default=0)
        added = {"attribution_id": content_id([version, lines]), "version": version}
        corpus.append_rows("influences", [line | added for line in lines])
        return version


def _behaviours(lines: Sequence[dict[str, Any]]) -> list[str]:
    return sorted({line["behaviour"] for line in lines})


def _check(corpus: Store, trace_ids: set[str]) -> None:
    missing = trace_ids - corpus.keys("traces")
    if len(missing) == len(trace_ids):
        raise DataError(
            f"{corpus.root}: holds none of the mix's traces; name the corpus that the mix was built from"
        )
    if missing:
        console.say(
            f"attribute: {len(missing)} of the mix's {len(trace_ids)} traces are not in {corpus.root}"
        )
