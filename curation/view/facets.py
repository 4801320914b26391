"""Facets: what traces are filtered and counted by, as one array each over the rows of the search index.

A facet has one value a trace (strategy, model) or a set of values, which is a bit mask (the patterns found). They are computed from the
`candidates` view, which takes seconds for a million traces, and kept in a Parquet file until the corpus changes. "" stands for "none".
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import console
from curation.corpus.candidates import annotator_names
from curation.corpus.filling import identifier, quoted, sql_file
from curation.corpus.query import Connection, known_entries, select
from curation.corpus.store import Store, write_parquet
from curation.review.form.questions import VERDICTS
from curation.view.search import Numbers64, SearchIndex
from schemas.codebooks import Pattern
from schemas.ids import content_id
from schemas.tables import TABLES

SINGLE = ("kind", "strategy", "model", "category", "source")
SETS = ("pattern", "annotator", "disputed", "verdict")
MOST_BITS = 62
"""Members of a set; of more annotators the first by name have a facet, and of more entries the shipped ones and the first of the codebooks."""
TITLES = {
    "kind": "Kind", "strategy": "Strategy", "model": "Model", "category": "Category", "source": "Source", "pattern": "Pattern found",
    "annotator": "Found by", "disputed": "Disagreement about", "verdict": "Reviewers' verdict", "mix": "In the mix",
}  # fmt: skip
KEEPS = "the index is whole; run the same command again"
Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
Chosen = Mapping[str, Sequence[str]]
"""Facet -> values; any of them in one facet, and all facets."""


class FacetCount(NamedTuple):
    """How many traces of a selection have a value."""

    value: str
    traces: int


class Facet(NamedTuple):
    """One value or set of values for each row."""

    name: str
    values: list[str]
    is_set: bool
    codes: Numbers64
    """Position of the value in `values`, or -1; of a set the sum of 1 << position."""

    def matches(self, wanted: Sequence[str]) -> Mask:
        """The rows with any of some values; a value that no row has matches none."""
        places = [self.values.index(value) for value in wanted if value in self.values]
        if not self.is_set:
            return np.isin(self.codes, places + [-1] * ("" in wanted))
        found: Mask = (self.codes & sum(1 << place for place in places)) != 0
        return found | (self.codes == 0) if "" in wanted else found

    def counts(self, rows: Mask | None) -> list[FacetCount]:
        """How many of some rows have each value, most frequent first; null is all rows."""
        codes = self.codes if rows is None else self.codes[rows]
        if self.is_set:
            many = [int(np.count_nonzero(codes & (1 << place))) for place in range(len(self.values))]
            many.insert(0, int(np.count_nonzero(codes == 0)))
        else:
            many = np.bincount(codes + 1, minlength=len(self.values) + 1).tolist()
        counted = [FacetCount(value, n) for value, n in zip(["", *self.values], many, strict=True) if n]
        return sorted(counted, key=lambda one: (-one.traces, one.value))

    def of(self, row: int) -> list[str]:
        """The values of a row."""
        code = int(self.codes[row])
        if self.is_set:
            return [value for place, value in enumerate(self.values) if code >> place & 1]
        return [self.values[code]] if code >= 0 else []


class Facets:
    """The facets of a corpus by name, and the prompt of each row.

    Args:
        facets: all of the same length.
        prompts: a number for each row; rows of one prompt have the same.
    """

    def __init__(self, facets: Sequence[Facet], prompts: Numbers64) -> None:
        self.by_name = {facet.name: facet for facet in facets}
        self.prompts = prompts

    def add_set(self, name: str, members: Mapping[str, Numbers64]) -> None:
        """Add a facet of sets.

        Args:
            name: of the facet.
            members: the rows that have each value.
        """
        codes = np.zeros(len(self.prompts), np.int64)
        for place, rows in enumerate(members.values()):
            codes[rows] |= 1 << place
        self.by_name[name] = Facet(name, list(members), True, codes)

    def set_row(self, row: int, sets: Mapping[str, Sequence[str]]) -> None:
        """Replace the sets of one row, after something was said of it."""
        for name, values in sets.items():
            facet = self.by_name[name]
            facet.values.extend(v for v in values if v not in facet.values and len(facet.values) < MOST_BITS)
            facet.codes[row] = sum(
                1 << facet.values.index(value) for value in values if value in facet.values
            )

    def rows(self, chosen: Chosen, found: Mask | None = None) -> Mask | None:
        """The rows of a selection; null is all.

        Args:
            chosen: values by facet; a facet that there is not is ignored.
            found: rows that a search found.
        """
        rows = found
        for name, wanted in chosen.items():
            if wanted and name in self.by_name:
                matching = self.by_name[name].matches(wanted)
                rows = matching if rows is None else rows & matching
        return rows

    def counts(self, chosen: Chosen, found: Mask | None = None) -> dict[str, list[FacetCount]]:
        """The counts of every facet; each counts as if nothing were chosen in itself, so that a second value can be added."""
        counted = {}
        everything = self.rows(chosen, found)
        for name, facet in self.by_name.items():
            others = {other: wanted for other, wanted in chosen.items() if other != name}
            counted[name] = facet.counts(self.rows(others, found) if chosen.get(name) else everything)
        return counted


def places_of(rows: Mask) -> Numbers64:
    """The numbers of some rows."""
    return np.flatnonzero(rows).astype(np.int64)


def state(corpus: Store) -> str:
    """A hash of the corpus's parts: what the facets were made of."""
    return content_id([[table, [part.name for part in corpus.parts(table)]] for table in TABLES])


def load(corpus: Store, connection: Connection, index: SearchIndex, folder: Path) -> Facets:
    """The facets of the indexed traces, from the file or anew.

    Raises:
        CorpusError: if the folder cannot be written.
    """
    path, wanted = folder / "facets.parquet", f"2 {index.size()} {state(corpus)}".encode()
    if not (path.is_file() and (pq.read_schema(path).metadata or {}).get(b"state") == wanted):
        with console.progress("facets", unit="steps", keeps=KEEPS) as advance:
            table = _computed(connection, index)
            advance()
            write_parquet(path, table.replace_schema_metadata({**table.schema.metadata, b"state": wanted}))
    return _read(pq.read_table(path))


def _computed(connection: Connection, index: SearchIndex) -> pa.Table:
    entries = dict(list(known_entries(connection).entries.items())[:MOST_BITS])
    patterns = list(entries)
    members = {
        "pattern": patterns, "disputed": patterns, "verdict": list(VERDICTS), "annotator": annotator_names(connection)[:MOST_BITS],
    }  # fmt: skip
    found = " + ".join(
        f"if({present(entry)}, {1 << place}::bigint, 0)" for place, entry in enumerate(entries.values())
    )
    pieces = {f"{name}s": _bits(members[name]) for name in ("pattern", "verdict", "annotator")}
    rows = select(connection, sql_file("curation.view", "facets.sql", found=found, **pieces))
    order = pc.index_in(index.trace_ids(), value_set=rows["trace_id"].combine_chunks())
    rows = rows.take(order).combine_chunks()
    columns = {name: rows[name].cast(pa.string()).dictionary_encode() for name in (*SINGLE, "prompt_id")}
    columns |= {name: pc.fill_null(rows[name].cast(pa.int64()), 0) for name in SETS}
    return pa.table(columns, metadata={"members": json.dumps(members)})


def present(entry: Pattern) -> str:
    """The condition over `candidates` that an entry is present in a trace; null where it is not judged."""
    return f"{identifier(entry.name)} >= {entry.threshold:g}" if entry.graded else identifier(entry.name)


def _bits(names: Sequence[str]) -> str:
    return (
        ", ".join(f"({quoted(name)}, {1 << place}::bigint)" for place, name in enumerate(names))
        or "(null::varchar, 0)"
    )


def _read(table: pa.Table) -> Facets:
    members = json.loads(table.schema.metadata[b"members"])
    facets = []
    for name in SINGLE:
        values, codes = _encoded(table[name])
        facets.append(Facet(name, values, False, codes))
    facets += [Facet(name, members[name], True, np.array(table[name].to_numpy())) for name in SETS]
    return Facets(facets, _encoded(table["prompt_id"])[1])


def _encoded(column: pa.ChunkedArray) -> tuple[list[str], Numbers64]:
    encoded = (
        column.unify_dictionaries().combine_chunks()
        if column.num_chunks
        else pa.array([], pa.string()).dictionary_encode()
    )
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary.to_pylist(), codes
