"""The narrow table: one row per trace with the columns that a mix decides by, without long texts.

It is a temporary table of only what the recipe asks for. What has to be read from the long texts (lengths, and the keys by which
evaluation prompts are known) is kept beside the corpus's parts, in `.index/`: the texts of a part are read once, and a
part that comes later, also one that others were packed into, adds a file. `curate annotate` brings it up to date, or else the next mix does. It may be deleted at any time.
"""

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from curation.corpus.filling import identifier, quoted, sql_file
from curation.corpus.part_files import address
from curation.corpus.query import Connection, EngineFailure, define_table, execute, select
from curation.corpus.store import Store, make_folder, write_tables
from curation.mix.tokens import ESTIMATE
from schemas.errors import CorpusError, RecipeError
from schemas.ids import canonical_json, content_id
from schemas.patterns import RISKY_PATTERNS
from schemas.tables import TABLES

FOLDER = ".index"
WRITTEN_AT_ONCE = 65536
"""Rows."""
SPARED = 600.0
"""Seconds for which a file that is out of date is kept: another process may still read it."""
MANY = 8
"""Files of one table that the next one takes the place of."""
PARTS = b"parts"
"""Key in a file's metadata with the parts whose texts were read for it."""
LONG = ("prompt", "turns", "tools", "reasoning", "answer", "extra", "reference_answer")
"""Columns of `candidates` that are read where the recipe asks for them, row by row."""
ALWAYS = ("trace_id", "prompt_id", *RISKY_PATTERNS)


class _Kept(NamedTuple):
    """What is known of the texts of one table."""

    files: list[Path]
    """Files that are up to date."""
    missing: list[Path]
    """Parts whose texts none of them has."""


def prepare(
    connection: Connection, corpus: Store, expressions: Sequence[str], families: bool = False
) -> None:
    """Create the table `narrow`, and put a view `candidates` before the corpus's own that reads no more than it must.

    Args:
        connection: of `corpus`.
        corpus: the corpus.
        expressions: what is going to be asked of `candidates`; where one needs the long text, the text is there.
        families: whether the prompts' families are going to be asked for.
    """
    registry = (files("curation.overlap.decontaminate") / "benchmarks.csv").read_bytes()
    connection.register("known_benchmarks", _read_csv(registry))
    for table in ("prompts", "traces"):
        _define_facts(connection, corpus, table)
    columns, long = _asked(connection, expressions)
    if families and "prompt_family" not in columns:
        columns.append("prompt_family")
    wanted = ", ".join(f"c.{identifier(name)}" for name in columns)
    key = ", coalesce(p.prompt_key, t.prompt_key) as prompt_key" if families else ""
    execute(connection, sql_file("curation.mix", "narrow.sql", columns=wanted, key=key))
    source = sql_file("curation.mix", "wide.sql") if long else "from narrow"
    connection.execute(f"create temp view candidates as {source}")


def refresh(connection: Connection, corpus: Store) -> None:
    """Read the texts that are new since the last time, so that the next mix need not; what cannot be read now is left to it."""
    with suppress(CorpusError, OSError, EngineFailure):
        for table in ("prompts", "traces"):
            kept = _look(corpus, table)
            if kept.missing:
                define_table(connection, corpus.root, kept.missing, f"unread_{table}", TABLES[table])
                _read_missing(connection, corpus, table, kept)


def _asked(connection: Connection, expressions: Sequence[str]) -> tuple[list[str], bool]:
    """The columns that expressions may name, and whether they need the long text."""
    described = connection.execute("describe candidate_columns").fetchall()
    every = [name for name, *_ in described if name not in LONG]
    text = "\n".join(expressions).lower()
    long = any(re.search(rf"\b{name}\b", text) for name in LONG)
    everything = "*" in text or "columns" in text
    named = [name for name in every if everything or name in ALWAYS or name.lower() in text]
    if _binds(connection, expressions, [*named, *(LONG if long else ())]):
        return named, long
    return every, True


def _binds(connection: Connection, expressions: Sequence[str], columns: Sequence[str]) -> bool:
    # The newline keeps a trailing `--` comment from swallowing the bracket.
    asked = ", ".join(f"({expression}\n)" for expression in expressions) or "true"
    named = ", ".join(map(identifier, columns))
    try:
        select(connection, sql_file("curation.mix", "binds.sql", asked=asked, columns=named))
    except RecipeError:
        return False
    return True


def _define_facts(connection: Connection, corpus: Store, table: str) -> None:
    """The view `prompts_facts` or `traces_facts`; a table in memory where the corpus cannot be written, or a file was deleted meanwhile."""
    kept = _look(corpus, table)
    if not kept.files or kept.missing:
        define_table(connection, corpus.root, kept.missing, f"unread_{table}", TABLES[table])
    try:
        read = kept.files if not kept.missing else _read_missing(connection, corpus, table, kept)
        query = _facts_sql(corpus, table, read, unread=not read)
        connection.execute(f"create temp view {table}_facts as {query}")
    except (CorpusError, EngineFailure):
        execute(connection, f"drop view if exists unread_{table}")
        define_table(connection, corpus.root, corpus.parts(table), f"unread_{table}", TABLES[table])
        query = _facts_sql(corpus, table, [], unread=True)
        execute(connection, f"create temp table {table}_facts as {query}")


def _read_missing(connection: Connection, corpus: Store, table: str, kept: _Kept) -> list[Path]:
    """Write a file of what the table `unread_{table}` has; returns all files that are up to date.

    Raises:
        CorpusError: if the corpus cannot be written.
    """
    make_folder(corpus.root / FOLDER)
    if not os.access(corpus.root / FOLDER, os.W_OK):
        raise CorpusError(f"{corpus.root / FOLDER}: cannot be written")
    merged = kept.files if len(kept.files) >= MANY else []
    parts = [_identity(part) for part in kept.missing]
    parts = sorted([*parts, *(part for path in merged for part in _covers(path))])
    made_from = [_version(table), parts]
    path = corpus.root / FOLDER / f"{table}-{content_id(made_from)}.parquet"
    rows = connection.sql(_facts_sql(corpus, table, merged, unread=True)).to_arrow_reader(WRITTEN_AT_ONCE)
    schema = rows.schema.with_metadata({PARTS: canonical_json(made_from)})
    write_tables(path, schema, (pa.Table.from_batches([batch], schema) for batch in rows))
    there = {part.name for part in corpus.parts(table)}
    if any(name not in there for name, *_ in parts):  # forgotten or packed meanwhile
        path.unlink(missing_ok=True)
        raise CorpusError(
            f"{corpus.root}: its parts changed while their texts were read; run the command again"
        )
    used = [path, *(file for file in kept.files if file not in merged)]
    _forget_old(corpus, table, used)
    return used


def _look(corpus: Store, table: str) -> _Kept:
    missing = {tuple(_identity(part)): part for part in corpus.parts(table)}
    found = []
    files_there = (corpus.root / FOLDER).glob(f"{table}-*.parquet")
    known = {path: {tuple(part) for part in _covers(path, _version(table))} for path in sorted(files_there)}
    for path, covered in sorted(known.items(), key=lambda one: -len(one[1])):
        # Of parts that were packed since, the rows would be there twice; and what was merged is there beside its merger for a while.
        if covered and covered <= missing.keys():
            found.append(path)
            missing = {identity: part for identity, part in missing.items() if identity not in covered}
    return _Kept(found, list(missing.values()))


def _covers(path: Path, version: str | None = None) -> list[list[str | int]]:
    """The parts whose texts were read for a file; none if it is of another version, or cannot be read."""
    try:
        made_by, parts = orjson.loads((pq.read_metadata(path).metadata or {})[PARTS])
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return []
    return list(parts) if version in (None, made_by) else []


def _identity(part: Path) -> list[str | int]:
    found = part.stat()
    return [part.name, found.st_size, found.st_mtime_ns]


def _forget_old(corpus: Store, table: str, used: Sequence[Path]) -> None:
    """Delete what is out of date, at once where it speaks of parts that are gone; and the indexes of earlier versions of this toolkit."""
    parts = {part.name for part in corpus.parts(table)}
    names = (f"{table}-*.parquet", "candidates-*.parquet")
    for path in (path for name in names for path in (corpus.root / FOLDER).glob(name) if path not in used):
        with suppress(FileNotFoundError):
            gone = any(part[0] not in parts for part in _covers(path))
            if gone or abs(time.time() - path.stat().st_mtime) > SPARED:
                path.unlink()


def _version(table: str) -> str:
    """What a file was made by: a file that another query made is out of date."""
    return content_id(_unread_sql(table))


def _facts_sql(corpus: Store, table: str, kept: Sequence[Path], unread: bool) -> str:
    """A query of what is known of the texts in some files, and of those in the parts that are not read yet."""
    queries = [f"from read_parquet({quoted(address(corpus.root, path))})" for path in kept]
    return " union all ".join([*queries, *([_unread_sql(table)] if unread else [])])


def _unread_sql(table: str) -> str:
    text = "text" if table == "prompts" else "prompt"
    key = sql_file("curation.corpus", "benchmark_key.sql", text=text)
    return sql_file("curation.mix", f"{table}_facts.sql", key=key, estimate=ESTIMATE)


def _read_csv(text: bytes) -> pa.Table:
    import io

    from pyarrow import csv

    return csv.read_csv(io.BytesIO(text)).rename_columns({"key": "prompt_key"})
