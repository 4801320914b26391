"""Compacts many small parts into a few large ones; no row and no id changes.

A packed part lists the parts it replaces in its own metadata, so one atomic rename makes it visible and hides them from
readers. The replaced files stay on disk for processes that have them open, until they are pruned.

Every part costs some milliseconds in each query, so a table of very many is packed by itself when it is read (`pack_many`).
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic import Field

from curation import console
from curation.corpus.store import (
    PACKED,
    REPLACES,
    ROW_GROUP,
    Store,
    conform,
    replaced,
    scan_part,
    write_tables,
)
from curation.recipe import Recipe
from curation.versions import versions
from schemas.errors import CorpusError
from schemas.ids import canonical_json, content_id
from schemas.manifest import Counts, Manifest
from schemas.tables import TABLES

STAGE = "compact"
MANY = 200
"""Parts of one size class that are packed without being asked to."""


class CompactRecipe(Recipe):
    """The recipe of `curate compact`."""

    target_mb: int = Field(256, ge=1)
    """Maximum size of packed parts; parts of at least half this size are not packed."""
    prune: bool = False
    """Delete replaced files instead of packing."""


class Compacted(NamedTuple):
    """The result for one table."""

    before: int
    after: int
    replaced: int
    """Replaced files on disk; pruning deletes them."""
    replaced_bytes: int


def groups(sizes: Sequence[int], target: int) -> list[list[int]]:
    """Indices of the parts to pack together: neighbours, up to a size, at least two.

    Args:
        sizes: bytes of each part.
        target: bytes that a packed part may have.
    """
    closed: list[list[int]] = []
    group: list[int] = []
    room = target
    for position, size in enumerate(sizes):
        if size >= target // 2:
            continue
        if size > room:
            closed.append(group)
            group, room = [], target
        group.append(position)
        room -= size
    return [group for group in [*closed, group] if len(group) > 1]


def run(corpus_dir: Path, recipe: CompactRecipe) -> Manifest:
    """Pack the small parts of every table, or delete those that were replaced.

    Raises:
        CorpusError: if there is no corpus, or it cannot be written.
    """
    corpus = Store(corpus_dir)
    outcomes, counts = {}, Counts()
    with console.progress(
        STAGE, keeps="files that are packed stay packed; the same command goes on"
    ) as advance:
        for table in TABLES:
            if not corpus.files(table):
                continue
            with corpus.writing(table):
                before = corpus.parts(table)
                done = (
                    _prune(corpus, table)
                    if recipe.prune
                    else _pack(corpus, table, before, recipe.target_mb * 2**20)
                )
            counts.rows += len(before)
            advance(done)
            outcomes[table] = _outcome(corpus, table, len(before))
    counts.kept = counts.rows
    manifest = Manifest(
        stage=STAGE,
        recipe=recipe.model_dump(),
        versions=versions("lrm-curate", "pyarrow"),
        counts=counts,
        summary={table: outcome._asdict() for table, outcome in outcomes.items()},
    )
    corpus.write_manifest(manifest)
    return manifest


def pack_many(corpus: Store) -> None:
    """Pack the small parts of every table that has very many of them.

    Parts are packed with others that hold about as many: so a corpus that grows part by part writes each row only a few
    times. Where another process is writing, or the corpus cannot be written, everything stays as it is.
    """
    target = CompactRecipe().target_mb * 2**20
    for table in TABLES:
        if len(corpus.files(table)) < MANY or not _crowds(corpus.parts(table), target):
            continue
        try:
            with corpus.writing(table, wait=False):
                for crowd in _crowds(corpus.parts(table), target):
                    _pack(corpus, table, crowd, target)
                    console.say(f"{table}: {len(crowd)} small parts were packed (docs/reliability.md)")
        except CorpusError:  # what is at fault, if anything is, shows when the parts are read
            continue


def _crowds(parts: Sequence[Path], target: int) -> list[list[Path]]:
    """The classes of parts that hold about as many, and that are too many."""
    classes: dict[int, list[Path]] = {}
    for part in parts:
        if part.stat().st_size < target // 2:
            held = len(_before(part)) or 1
            classes.setdefault(int(math.log(held, MANY)), []).append(part)
    return [crowd for crowd in classes.values() if len(crowd) >= MANY]


def _pack(corpus: Store, table: str, parts: Sequence[Path], target: int) -> int:
    for group in groups([part.stat().st_size for part in parts], target):
        chosen = [parts[position] for position in group]
        names = {name for part in chosen for name in ({part.name} | _before(part))}
        schema = TABLES[table].with_metadata({REPLACES: canonical_json(sorted(names))})
        path = corpus.root / table / f"part-{content_id(sorted(names))}{PACKED}"
        write_tables(path, schema, _rows(chosen, schema))
    return len(parts)


def _before(part: Path) -> set[str]:
    return replaced(part) if part.name.endswith(PACKED) else set()


def _rows(parts: Sequence[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of some parts, a full row group at a time."""
    waiting: list[pa.Table] = []
    rows = 0
    for part in parts:
        for batch in scan_part(part, batch_rows=ROW_GROUP):
            waiting.append(conform(pa.Table.from_batches([batch]), schema))
            rows += batch.num_rows
            if rows >= ROW_GROUP:
                yield pa.concat_tables(waiting).combine_chunks()
                waiting, rows = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def _prune(corpus: Store, table: str) -> int:
    gone = _replaced(corpus, table)
    for part in gone:
        part.unlink()
    return len(gone)


def _replaced(corpus: Store, table: str) -> list[Path]:
    seen = set(corpus.parts(table))
    return [part for part in corpus.files(table) if part not in seen]


def _outcome(corpus: Store, table: str, before: int) -> Compacted:
    left = _replaced(corpus, table)
    return Compacted(
        before=before,
        after=len(corpus.parts(table)),
        replaced=len(left),
        replaced_bytes=sum(part.stat().st_size for part in left),
    )


def show(manifest: Manifest) -> None:
    """Print the result."""
    rows = [
        {"table": table, **counts} for table, counts in manifest.summary.items() if isinstance(counts, dict)
    ]
    console.show_rows(["table", *Compacted._fields], rows)
    if any(row["replaced"] for row in rows):
        console.say(
            "replaced files are kept for processes that have them open; delete them with: curate compact --prune"
        )
