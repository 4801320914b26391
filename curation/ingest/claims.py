"""What an ingest says of prompts and traces that are already there: compared with the corpus, and amended if asked.

Claims go to a temporary file, since a repeated ingest says something of every row. Null is no claim: a file without a column
says nothing about it.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.corpus.filling import sql_file
from curation.corpus.query import execute, open_tables, select
from curation.corpus.store import Store
from schemas.ids import content_id
from schemas.tables import AMENDABLE

_text = pa.string()
_FIELDS = tuple(dict.fromkeys([*AMENDABLE["prompts"], *AMENDABLE["traces"]]))
CLAIMS = pa.schema(
    [
        ("place", pa.int64()), ("subject", _text), ("id", _text), ("prompt_id", _text), ("said", _text),
        ("source_file", _text), ("source_line", pa.int64()), *((field, _text) for field in _FIELDS),
    ]
)  # fmt: skip
WRITTEN_AT_ONCE = 8192


class Claims:
    """Collects claims; use it in a `with` block, which ends with its temporary file."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="curate-claims-")
        self._path = Path(self._folder.name) / "claims.parquet"
        self._waiting: list[dict[str, Any]] = []
        self._writer: pq.ParquetWriter | None = None
        self._count = 0

    def __enter__(self) -> "Claims":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer:
            self._writer.close()
        self._folder.cleanup()

    def add(
        self, subject: str, key: str | None, fields: Mapping[str, Any], place: tuple[str, int], **where: str
    ) -> None:
        """Add what a row says.

        Args:
            subject: "prompts" or "traces".
            key: the id; null for a trace that `where` names by prompt_id and said (see `said`).
            fields: what it says, by field.
            place: file and line.
            where: prompt_id and said.
        """
        told = {field: fields.get(field) for field in AMENDABLE[subject]}
        file, line = place
        row = {"place": self._count, "subject": subject, "id": key, "source_file": file, "source_line": line}
        self._waiting.append(row | where | told)
        self._count += 1
        if len(self._waiting) >= WRITTEN_AT_ONCE:
            self._flush()

    def settle(self, corpus: Store, amend: bool) -> list[dict[str, Any]]:
        """Compare with what the corpus says, and write amendments where asked.

        Returns:
            One entry per field and change: field, previous, value, rows; empty where nothing differs.
        """
        self._flush()
        if not self._writer:
            return []
        self._writer.close()
        with (
            corpus.writing("amendments") if amend else nullcontext()
        ):  # their versions go on from those that are there
            connection = open_tables(corpus)
            with pq.ParquetFile(self._path) as file:
                connection.register("claims", pa.RecordBatchReader.from_batches(CLAIMS, file.iter_batches()))
                execute(connection, sql_file("curation.ingest", "differences.sql"))
            counts = select(connection, sql_file("curation.ingest", "difference_counts.sql")).to_pylist()
            if amend and counts:
                rows = select(connection, sql_file("curation.ingest", "new_amendments.sql"))
                corpus.append_rows("amendments", list(_with_ids(rows.to_pylist())))
        return list(counts)

    def _flush(self) -> None:
        if self._waiting:
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._path, CLAIMS)
            self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=CLAIMS))
            self._waiting = []


def said(reasoning: str, answer: str) -> str:
    """The hash of a response by which a claim finds its trace."""
    return hashlib.md5(f"{reasoning}\x1f{answer}".encode(), usedforsecurity=False).hexdigest()


def _with_ids(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        identity = [row[name] for name in ("subject", "id", "field", "version", "value")]
        yield row | {"amendment_id": content_id(identity)}
