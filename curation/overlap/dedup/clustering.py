"""Clusters of texts that need not fit into memory: keys, sketches, ids and labels are in unnamed files next to the corpus.

Labels are ranks of the sorted ids, so that the lowest label of a cluster is its representative. A text takes 70 bytes for
exact and 340 for near; if that exceeds a quarter of `curation.corpus.memory`'s limit, the arrays are files. Small arrays stay
in memory, since writes to file pages wait for other work of the disk.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.corpus import memory
from curation.corpus.memory import Array, DiskArray
from curation.corpus.query import ordered
from curation.corpus.store import rows_of, scan_part
from curation.overlap.dedup import sketches
from curation.overlap.dedup.texts import KeyedTexts

CHUNK = 1 << 16
LARGEST = 340
BYTES_PER_TEXT = 512
"""Memory per text while candidate pairs are found (about 60 bytes), times eight to leave room for the rest."""


Similar = Callable[[Array, Array], Array]


class Ranked(NamedTuple):
    """The ids of the texts in ascending order."""

    ids: DiskArray
    order: DiskArray
    """rank -> row, the index of a text in the order of the parts."""
    ranks: DiskArray
    """row -> rank."""

    def release_memory(self) -> None:
        """Evict the pages from memory."""
        for array in self:
            array.release_memory()


class ClusterSlice(NamedTuple):
    """Some clustered texts, in the order of their ids."""

    ids: Array
    representatives: Array
    representative: Array
    """Whether each is its own representative."""
    similarity: Array
    """To the representative; meaningless for representatives."""


class Sizes(NamedTuple):
    """Numbers of texts, clusters and duplicates."""

    texts: int
    clusters: int
    """Clusters of two or more texts."""
    duplicates: int
    largest: int


def place(parts: Sequence[Path], folder: Path) -> Path | None:
    """Where to put the arrays for some parts: in this folder, or (null) in memory."""
    count = rows_of(parts)
    return None if count * LARGEST <= memory.limit() // 4 else folder


def rank(parts: Sequence[Path], column: str, folder: Path | None) -> Ranked:
    """Sort the ids of some parts."""
    count = rows_of(parts)
    width = max((_widest(batch) for part in parts for batch in scan_part(part, [column], CHUNK)), default=1)
    made = Ranked(DiskArray((count,), f"S{max(width, 1)}", folder), *(DiskArray((count,), "i8", folder) for _ in range(2)))  # fmt: skip
    schema = pa.schema([("id", pa.string()), ("row", pa.int64())])
    rows = pa.RecordBatchReader.from_batches(schema, _numbered(parts, column, schema))
    start = 0
    for batch in ordered(rows, "id", memory.megabytes(memory.limit() // 2)):
        chunk = slice(start, start := start + batch.num_rows)
        row = batch.column("row").to_numpy()
        made.ids.array[chunk] = batch.column("id").cast(pa.binary()).to_numpy(zero_copy_only=False)
        made.order.array[chunk] = row
        made.ranks.array[row] = np.arange(chunk.start, chunk.stop)
    made.release_memory()
    return made


def _widest(batch: pa.RecordBatch) -> int:
    return pc.max(pc.binary_length(batch.column(0))).as_py() or 0


def _numbered(parts: Sequence[Path], column: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    row = 0
    for part in parts:
        for batch in scan_part(part, [column], CHUNK):
            numbers = pa.array(np.arange(row, row + batch.num_rows))
            yield pa.record_batch([batch.column(0), numbers], schema=schema)
            row += batch.num_rows


class Clusters:
    """A union-find structure: each text with the lowest rank of its cluster (or one that leads there).

    Args:
        ranked: the texts.
        labels: ranks.
        similar: the similarity of pairs of ranks.
    """

    def __init__(self, ranked: Ranked, labels: DiskArray, similar: Similar) -> None:
        self._ranked = ranked
        self._labels = labels
        self._similar = similar

    def pieces(self) -> Iterator[ClusterSlice]:
        """All texts, some at a time."""
        ids = self._ranked.ids.array
        for chunk, labels in self._flat():
            here = np.arange(chunk.start, chunk.stop)
            yield ClusterSlice(ids[chunk], ids[labels], labels == here, self._similar(here, labels))
            self._ranked.release_memory()
            self._labels.release_memory()

    def sizes(self) -> Sizes:
        """Count texts, clusters and duplicates."""
        ids = self._ranked.ids.array
        others, duplicates = DiskArray((len(ids),), "u4", self._labels.folder), 0
        for chunk, labels in self._flat():
            labels = labels[labels != np.arange(chunk.start, chunk.stop)]
            np.add.at(others.array, labels, 1)
            duplicates += len(labels)
        largest = int(others.array.max(initial=0)) + (len(ids) > 0)
        return Sizes(len(ids), int(np.count_nonzero(others.array)), duplicates, largest)

    def _flat(self) -> Iterator[tuple[slice, Array]]:
        labels = self._labels.array
        for start in range(0, len(labels), CHUNK):
            chunk = slice(start, min(start + CHUNK, len(labels)))
            yield chunk, sketches.roots(labels, np.arange(chunk.start, chunk.stop))


def cluster(
    ranked: Ranked, made: Iterable[KeyedTexts], bands: int, threshold: float | None, folder: Path | None
) -> Clusters:
    """Cluster texts by their keys.

    Args:
        ranked: the texts.
        made: keys and sketches of the same texts, in the order of the parts.
        bands: number of keys per text.
        threshold: minimum similarity of texts with an equal key; null if equal keys suffice.
        folder: for the arrays; null for memory.
    """
    count = len(ranked.ids.array)
    keys = [DiskArray((count,), "u8", folder) for _ in range(bands)]
    bytes_ = None if threshold is None else DiskArray((count, sketches.NUMBERS), "u1", folder)
    _fill(keys, bytes_, made)
    labels = DiskArray((count,), "i8", folder)
    labels.array[:] = np.arange(count)
    order = ranked.order.array

    def similar(left: Array, right: Array) -> Array:
        if bytes_ is None:
            return np.ones(len(left), np.float32)
        estimates = sketches.similarities(bytes_.array, order[left], order[right])
        bytes_.release_memory()
        return estimates

    def near(left: Array, right: Array) -> Array:
        return similar(left, right) >= (threshold or 0)

    for band in keys:
        for left, right in sketches.candidate_pairs(
            band.array, ranked.ranks.array, memory.limit() // BYTES_PER_TEXT
        ):
            sketches.link(labels.array, left, right, near if bytes_ else None)
            ranked.release_memory()
            labels.release_memory()
        band.release_memory()
    return Clusters(ranked, labels, similar)


def _fill(keys: list[DiskArray], bytes_: DiskArray | None, made: Iterable[KeyedTexts]) -> None:
    start = since = 0
    for some in made:
        chunk = slice(start, start := start + len(some.keys))
        for band, column in zip(keys, some.keys.T, strict=True):
            band.array[chunk] = column
        if bytes_:
            bytes_.array[chunk] = some.bytes
        since += len(some.keys)
        if since > CHUNK:
            since = 0
            for array in (*keys, *([bytes_] if bytes_ else [])):
                array.release_memory()
