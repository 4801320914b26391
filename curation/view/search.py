"""Full-text search: an index of the words of every trace, in one SQLite file beside the corpus.

A trace has a row number here, given in the order of the parts, and keeps it; facets (`curation.view.facets`) are arrays by that
number. A part, or several small ones, is indexed in one transaction, so a build that is killed goes on with the next. The words are
kept without the texts; of the texts only the beginning of each prompt is here.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from curation import console
from curation.corpus.store import Store, make_folder, rows_of, scan_part
from curation.locks import take
from schemas.errors import CorpusError, RecipeError

OPENING = 200
"""Characters of a prompt in the list."""
MOST_TERMS = 20
TOGETHER = 50_000
"""Traces of small parts that are added in one transaction: each leaves a piece of index, and a search looks into all of them."""
BULK = {"hashsize": 1 << 26, "automerge": 0, "crisismerge": 1000}
"""FTS5 while many traces are added: bytes of words in memory before a piece is written, and pieces are left apart, so that the last part
costs what the first did. It merges by its `USUAL` settings where few are added."""
USUAL = {"hashsize": 1 << 20, "automerge": 4, "crisismerge": 16}
READ = ("trace_id", "prompt", "reasoning", "answer")
KEEPS = "what is indexed is kept; run the same command again to go on"

Numbers64 = np.ndarray[tuple[int], np.dtype[np.int64]]


class ListedTrace(NamedTuple):
    """What the index knows of a trace."""

    row: int
    trace_id: str
    opening: str
    """The beginning of its prompt."""


class SearchIndex:
    """The search index of a corpus; reads only, and from any thread.

    Args:
        folder: where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "words.sqlite"

    def size(self) -> int:
        """Number of traces; rows are 0 to size - 1."""
        with self._open() as connection:
            return int(connection.execute("select count(*) from traces").fetchone()[0])

    def search(self, text: str) -> Numbers64:
        """The rows of the traces that have all words of a search.

        Args:
            text: words; "several words" in quotes stand together, and word* finds every word that begins so.

        Raises:
            RecipeError: if there is nothing to search for in it.
        """
        with self._open() as connection:
            found = connection.execute("select rowid from words where words match ?", [match(text)])
            return np.fromiter((row for (row,) in found), np.int64)

    def listed(self, rows: Sequence[int]) -> list[ListedTrace]:
        """Ids and openings of some rows, in their order."""
        with self._open() as connection:
            query = "select row, trace_id, opening from traces where row = ?"
            return [ListedTrace(*connection.execute(query, [int(row)]).fetchone()) for row in rows]

    def row(self, trace_id: str) -> int | None:
        """The row of a trace; null if it is not indexed."""
        with self._open() as connection:
            found = connection.execute("select row from traces where trace_id = ?", [trace_id]).fetchone()
        return int(found[0]) if found else None

    def rows(self, trace_ids: Sequence[str]) -> Numbers64:
        """The rows of those of some traces that are indexed, in no order."""
        with self._open() as connection:
            query = "select row from traces where trace_id = ?"
            found = (connection.execute(query, [trace_id]).fetchone() for trace_id in trace_ids)
            return np.array(sorted({one[0] for one in found if one}), np.int64)

    def trace_ids(self) -> pa.Array:
        """The ids of all rows in order."""
        with self._open() as connection:
            found = connection.execute("select trace_id from traces order by row")
            return pa.array((trace_id for (trace_id,) in found), pa.string())

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # immutable is not set: another process may be adding traces
        with _named(self.path), closing(sqlite3.connect(_address(self.path), uri=True)) as connection:
            connection.execute("pragma trusted_schema = off")
            yield connection


def match(text: str) -> str:
    """The search in SQLite's notation; whatever was typed is only ever a quoted word in it.

    Raises:
        RecipeError: if there are no words in it, or too many.
    """
    found = re.findall(r'"([^"]*)"(\*?)|([^\s"]+)', text.replace("\0", " "))
    terms = [
        (phrase, star) if phrase else (word.rstrip("*"), word[-1:] * word.endswith("*"))
        for phrase, star, word in found
    ]
    terms = [(words, star) for words, star in terms if re.search(r"\w", words)]
    if not terms or len(terms) > MOST_TERMS:
        raise RecipeError(f"search for 1 to {MOST_TERMS} words; this has {len(terms)}")
    return " AND ".join(f'"{words}"{star}' for words, star in terms)


def update(corpus: Store, folder: Path) -> SearchIndex:
    """Bring the index of a corpus up to date; only parts that are new are read.

    Raises:
        CorpusError: if the folder cannot be written, or what is there is no index.
    """
    make_folder(folder)
    index = SearchIndex(folder)
    with _named(index.path), take(folder / "lock", f"the search index of {corpus.root}"):
        with _opened(index.path) as connection:
            outdated = _holds_forgotten(connection, corpus)
        if outdated:
            for path in folder.glob(f"{index.path.name}*"):
                path.unlink()
        with _opened(index.path) as connection:
            known = {name for (name,) in connection.execute("select name from parts")}
            if new := [part for part in corpus.parts("traces") if part.name not in known]:
                _add_all(connection, new)
    return index


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The index to write to; nothing that a file of others may have brought runs in it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma trusted_schema = off")
        connection.executescript((files("curation.view") / "sql" / "words.sql").read_text(encoding="utf-8"))
        yield connection


def _holds_forgotten(connection: sqlite3.Connection, corpus: Store) -> bool:
    """Whether there are words of traces here that the corpus no longer has (`curate forget`); only if parts went can there be."""
    parts = {name for (name,) in connection.execute("select name from parts")}
    if gone := parts - {part.name for part in corpus.files("traces")}:
        there = corpus.keys("traces")
        if any(trace_id not in there for (trace_id,) in connection.execute("select trace_id from traces")):
            return True
        connection.executemany("delete from parts where name = ?", [(name,) for name in gone])
    return False


def _add_all(connection: sqlite3.Connection, parts: Sequence[Path]) -> None:
    _set(connection, BULK if rows_of(parts) >= TOGETHER else USUAL)
    with console.progress("index", unit="traces", keeps=KEEPS) as advance:
        begun = 0
        for number, part in enumerate(parts, 1):
            if not connection.in_transaction:
                connection.execute("begin immediate")
            for batch in scan_part(part, READ):
                _add(connection, batch)
                begun += batch.num_rows
                advance(batch.num_rows, f"part {number} of {len(parts)}")
            connection.execute("insert into parts values (?)", [part.name])
            if begun >= TOGETHER or number == len(parts):
                connection.execute("commit")
                begun = 0


def _set(connection: sqlite3.Connection, settings: Mapping[str, int]) -> None:
    connection.executemany("insert into words (words, rank) values (?, ?)", settings.items())


def _add(connection: sqlite3.Connection, batch: pa.RecordBatch) -> None:
    # not their count, which would read every id again for each batch
    (last,) = connection.execute("select row from traces order by row desc limit 1").fetchone() or (-1,)
    for trace_id, prompt, reasoning, answer in zip(*(batch[name].to_pylist() for name in READ), strict=True):
        values = [last + 1, trace_id, prompt[:OPENING]]
        if connection.execute("insert or ignore into traces values (?, ?, ?)", values).rowcount == 1:
            last += 1
            insert = "insert into words (rowid, prompt, reasoning, answer) values (?, ?, ?, ?)"
            connection.execute(insert, [last, prompt, reasoning, answer])


def _address(path: Path) -> str:
    return f"file:{quote(os.fspath(path.absolute()))}?mode=ro"


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise CorpusError(
            f"{path}: the search index cannot be used ({error}); delete the folder {path.parent}, and it is made anew"
        ) from error
