"""Fields of prompts and traces that a later ingest put right: parts are never rewritten, so their rows are amended as they are read.

SQL sees them through the views `prompts` and `traces` (sql/amended.sql); whatever streams parts gets them here.
"""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from curation.corpus.filling import identifier, quoted, sql_file
from schemas.tables import AMENDABLE, KEYS

READ = ("subject", "id", "field", "version", "value")
"""Columns of `amendments` that a reader needs."""


def latest(table: str, batches: Iterable[pa.RecordBatch]) -> dict[str, dict[str, str]]:
    """Field -> id -> value in force, of one table.

    Args:
        table: "prompts" or "traces".
        batches: rows of `amendments` with the columns READ.
    """
    versions: dict[tuple[str, str], int] = {}
    values: dict[str, dict[str, str]] = {}
    for batch in batches:
        for subject, key, field, version, value in zip(
            *(column.to_pylist() for column in batch.select(list(READ)).columns), strict=True
        ):
            if subject == table and version > versions.get((field, key), 0):
                versions[field, key] = version
                values.setdefault(field, {})[key] = value
    return values


def amended(
    table: str,
    batches: Iterable[pa.RecordBatch],
    columns: Sequence[str] | None,
    values: dict[str, dict[str, str]],
) -> Iterator[pa.RecordBatch]:
    """Rows with the values in force, in the columns that were asked for; `batches` have the table's key as well."""
    for batch in batches:
        keys = batch[KEYS[table][0]].to_pylist()
        for field, by_id in values.items():
            at = batch.schema.get_field_index(field)
            if at >= 0 and any(key in by_id for key in keys):
                now = [
                    by_id.get(key, old) for key, old in zip(keys, batch.column(at).to_pylist(), strict=True)
                ]
                batch = batch.set_column(
                    at, batch.schema.field(at), pa.array(now, batch.schema.field(at).type)
                )
        yield batch.select(list(columns)) if columns else batch


def view(table: str) -> str:
    """The SQL of the view over a table's parts, which are the view `<table>_as_written`."""
    return sql_file(
        "curation.corpus",
        "amended.sql",
        table=table,
        subject=quoted(table),
        key=identifier(KEYS[table][0]),
        fields=", ".join(f"coalesce(a.{field}, t.{field}) as {field}" for field in AMENDABLE[table]),
        latest=", ".join(
            f"max_by(value, version) filter (where field = {quoted(field)}) as {field}"
            for field in AMENDABLE[table]
        ),
    )
