"""The narrow table: one row per trace with every column that mixes select by, without long texts.

It is kept beside the corpus's parts (`.index/`, under a name that hashes all it was made from), so the second mix of a
corpus reads a few megabytes where the first read all the text. It may be deleted at any time.
"""

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pyarrow as pa

from curation.corpus.filling import quoted, sql_file
from curation.corpus.part_files import address
from curation.corpus.query import Connection, select
from curation.corpus.store import Store, make_folder, write_tables
from curation.mix.tokens import ESTIMATE
from schemas.errors import CorpusError, RecipeError
from schemas.ids import content_id
from schemas.tables import TABLES

FOLDER = ".index"
WRITTEN_AT_ONCE = 65536
"""Rows."""
KEPT = 3
"""Older indexes than this many are deleted; another process may still read one of these."""


def prepare(connection: Connection, corpus: Store, expressions: Sequence[str]) -> None:
    """Create the view `narrow`, and put a view `candidates` before the corpus's own that reads no more than it must.

    Args:
        connection: of `corpus`.
        corpus: the corpus.
        expressions: what is going to be asked of `candidates`; where one needs the long text, the text is there.
    """
    registry = (files("curation.overlap.decontaminate") / "benchmarks.csv").read_bytes()
    connection.register("known_benchmarks", _read_csv(registry))
    query = sql_file(
        "curation.mix",
        "narrow.sql",
        estimate=ESTIMATE,
        prompt_key=sql_file("curation.corpus", "benchmark_key.sql", text="text"),
        trace_key=sql_file("curation.corpus", "benchmark_key.sql", text="prompt"),
    )
    connection.execute(f"create temp view narrow as from {_source(connection, corpus, query, registry)}")
    enough = _binds(connection, expressions)
    connection.execute(
        f"create temp view candidates as {'from narrow' if enough else sql_file('curation.mix', 'wide.sql')}"
    )


def _binds(connection: Connection, expressions: Sequence[str]) -> bool:
    # The newline keeps a trailing `--` comment from swallowing the bracket.
    asked = ", ".join(f"({expression}\n)" for expression in expressions)
    try:
        select(
            connection,
            sql_file("curation.mix", "binds.sql", asked=asked),
        )
    except RecipeError:
        return False
    return True


def _source(connection: Connection, corpus: Store, query: str, registry: bytes) -> str:
    """The kept index, made now where there is none; a table in memory where the corpus cannot be written."""
    views = connection.execute(
        "select sql from duckdb_views() where not internal and not temporary order by view_name"
    ).fetchall()
    parts = [
        [path.parent.name, path.name, path.stat().st_size, path.stat().st_mtime_ns]
        for table in TABLES
        for path in corpus.parts(table)
    ]
    key = content_id([query, views, registry.decode(), parts])
    path = corpus.root / FOLDER / f"candidates-{key}.parquet"
    if not path.exists():
        try:
            _write(connection, query, path)
        except CorpusError:
            connection.execute(f"create temp table narrow_rows as {query}")
            return "narrow_rows"
    return f"read_parquet({quoted(address(corpus.root, path))})"


def _write(connection: Connection, query: str, path: Path) -> None:
    make_folder(path.parent)
    if not os.access(path.parent, os.W_OK):
        raise CorpusError(f"{path.parent}: cannot be written")
    rows = connection.sql(query).to_arrow_reader(WRITTEN_AT_ONCE)
    write_tables(path, rows.schema, (pa.Table.from_batches([batch]) for batch in rows))
    # Never the one just written: after the clock was set back, it would be the oldest.
    others = [index for index in path.parent.glob("candidates-*.parquet") if index != path]
    for old in sorted(others, key=lambda index: index.stat().st_mtime)[: -(KEPT - 1)]:
        old.unlink(missing_ok=True)


def _read_csv(text: bytes) -> pa.Table:
    import io

    from pyarrow import csv

    return csv.read_csv(io.BytesIO(text)).rename_columns({"key": "prompt_key"})
