"""The corpus store: a folder of tables, each a set of immutable Parquet part files.

A part is written under a temporary name, fsynced and renamed, so readers see whole parts or none. Writers of one table
use a file lock (released by the kernel if they die); readers never wait. There is no database file: many
processes can query the parts at once (`curation.corpus.query`).
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.corpus import amendments
from curation.integrity.damage import damaged, gone, missing_file, within
from curation.integrity.seal import seal
from curation.locks import take
from curation.manifests import check_format_version, format_version, manifest_name
from curation.reading import made_by_us
from schemas.errors import CorpusError
from schemas.ids import canonical_json
from schemas.manifest import BASE_VERSION, FORMAT_VERSION, Manifest
from schemas.tables import AMENDABLE, KEYS, TABLES, has_conversations

MARKER = "corpus.json"
PACKED = ".packed.parquet"
"""Suffix of packed parts (`curation.corpus.compact`)."""
REPLACES = b"replaces"
"""Key in a packed part's file metadata with the names of the parts it replaces."""
ROW_GROUP = 8192
FEW_VALUES = (
    "kind", "strategy", "model", "system", "source", "source_file", "category", "attack", "finish_reason", "sampling",
    "pattern", "annotator", "rationale", "stage", "reason", "part", "field", "method", "generation", "benchmark",
    "benchmark_row", "behaviour", "attribution_id", "mix_id",
)  # fmt: skip
"""Columns with dictionary encoding; attempting it on the long text columns costs a third of the write."""


class Store:
    """A corpus folder on disk; users work with `curation.Corpus`.

    Raises:
        CorpusError: if the folder is not a corpus, or was written by a newer version of this toolkit.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        marker = root / MARKER
        if not marker.is_file():
            raise CorpusError(f"{root}: {_no_corpus(root)}")
        check_format_version(marker)

    @classmethod
    def create(cls, root: Path) -> "Store":
        """Open a corpus; creates the folder if there is none."""
        if not (root / MARKER).exists():
            others = (
                [path for path in root.iterdir() if not path.name.startswith(".tmp-")]
                if root.is_dir()
                else []
            )
            if others and not (root / MARKER).exists():  # another process may be creating this corpus
                raise CorpusError(
                    f"{root}: the folder is not empty and not a corpus; set --corpus to a new or empty one"
                )
            write_file(root / MARKER, _marker(BASE_VERSION))
        return cls(root)

    def parts(self, table: str, among: Collection[str] | None = None) -> list[Path]:
        """The part files of a table, in a stable order.

        Args:
            table: a name in TABLES.
            among: names of parts: only the files with exactly their rows, even if they were packed since.
        """
        files = self.files(table)
        packed = {part: replaced(part) for part in files if part.name.endswith(PACKED)}
        if among is None:
            hidden = set().union(*packed.values())
            return [part for part in files if part.name not in hidden]
        wanted, listed = set(among), []
        for part in sorted(packed, key=lambda part: (-len(packed[part]), part)):
            if packed[part] <= wanted:
                listed.append(part)
                wanted -= packed[part]
        return sorted([*listed, *(part for part in files if part.name in wanted)])

    def missing(self, table: str, names: Collection[str]) -> list[str]:
        """The named parts whose rows cannot be read any more: deleted, or packed together with others."""
        present = set()
        for part in self.parts(table, names):
            present |= {part.name, *(replaced(part) if part.name.endswith(PACKED) else ())}
        return sorted(set(names) - present)

    def files(self, table: str) -> list[Path]:
        """Every part file on disk, including replaced ones; never a temporary file.

        Raises:
            CorpusError: if one is a link out of the corpus, or the table's folder is a file.
        """
        found = sorted((self.root / table).glob("part-*.parquet"))
        if not found and (self.root / table).is_file():
            raise CorpusError(
                f"{self.root / table}: a file where a table's folder should be; see: curate check {self.root}"
            )
        for part in found:
            if part.is_symlink() and not within(part.resolve(), [self.root.resolve()]):
                raise CorpusError(f"{part}: a link out of the corpus; put the file itself there")
        return found

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows as one part. Equal keys give an equal part name, so repeating a write changes nothing.

        The caller must hold `writing(table)` and must have removed keys that the table already has.
        """
        if rows.num_rows:
            self.append_pieces(table, lambda: iter([rows]))

    def append_pieces(self, table: str, pieces: Callable[[], Iterator[pa.Table]]) -> None:
        """`append` for rows that need not fit into memory.

        Args:
            table: a name in TABLES.
            pieces: returns a new iterator over the rows; called twice, for the part's name and its content. At least one row.
        """
        path = self.root / table / f"part-{keys_id(table, pieces())}.parquet"
        write_tables(path, TABLES[table], (self._known(conform(piece, TABLES[table])) for piece in pieces()))

    def _known(self, piece: pa.Table) -> pa.Table:
        """The same rows; before a part with conversations appears, the corpus says that a toolkit of version 1 must not read it."""
        if has_conversations(piece) and format_version(self.root / MARKER) < FORMAT_VERSION:
            write_file(self.root / MARKER, _marker(FORMAT_VERSION))
        return piece

    def append_rows(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows given as dicts (missing columns become null) as one part; see `append`."""
        self.append(table, pa.Table.from_pylist(list(rows), schema=TABLES[table]))

    def keys(self, table: str) -> set[Any]:
        """The keys in a table: strings, or tuples if the key has several columns."""
        columns = list(KEYS[table])
        keys: set[Any] = set()
        for part in self.parts(table):
            for batch in scan_part(part, columns, ROW_GROUP):
                values = [column.to_pylist() for column in batch.columns]
                keys.update(values[0] if len(columns) == 1 else zip(*values, strict=True))
        return keys

    def scan(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        batch_rows: int = 1024,
        parts: Iterable[Path] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Stream a table's rows, or those of some parts, a batch at a time, as amended; raises as `scan_part` does."""
        values = self._amended(table, columns)
        wanted = (
            [*columns, *(key for key in KEYS[table] if key not in columns)] if columns and values else columns
        )
        read = self.parts(table) if parts is None else parts
        batches = (batch for part in read for batch in scan_part(part, wanted, batch_rows))
        yield from amendments.amended(table, batches, columns, values) if values else batches

    def _amended(self, table: str, columns: Sequence[str] | None) -> dict[str, dict[str, str]]:
        """The amended values of these columns; none where there are no amendments."""
        fields = set(AMENDABLE.get(table, ()))
        if not (fields if columns is None else fields & set(columns)):
            return {}
        rows = (
            batch
            for part in self.parts("amendments")
            for batch in scan_part(part, amendments.READ, ROW_GROUP)
        )
        return amendments.latest(table, rows)

    @contextmanager
    def writing(self, *tables: str, wait: bool = True) -> Iterator[None]:
        """Hold the write locks of some tables; while another process holds one, wait and say for whom, or raise CorpusError."""
        with self._locked({table: f"the table {table} of {self.root}" for table in sorted(tables)}, wait):
            for table in tables:
                for stale in (self.root / table).glob(".tmp-*"):
                    stale.unlink()
            yield

    @contextmanager
    def alone(self, *stages: str, shared: bool = False) -> Iterator[None]:
        """Be the only process that runs some stages: a second one would do the same work. Tables are locked by `writing` alone.

        Shared, others that share them may run as well, but no process that wants to be alone.
        """
        whom = "what removes rows of" if shared else "another {} of"
        with self._locked({s: f"{whom.format(s)} {self.root}" for s in sorted(stages)}, shared=shared):
            yield

    @contextmanager
    def _locked(self, files: dict[str, str], wait: bool = True, shared: bool = False) -> Iterator[None]:
        locks, handles = self.root / ".locks", []
        try:
            make_folder(locks)
            for name, what in files.items():
                handles.append(take(locks / name, what, wait, shared))
            yield
        except FileNotFoundError as error:
            if not within(missing := missing_file(error), [self.root]):
                raise  # unrelated to the corpus, such as a program that is not installed
            raise CorpusError(gone(missing)) from error
        except OSError as error:
            raise disk_error(self.root, error) from error
        finally:
            for handle in handles:
                handle.close()

    def manifest_path(self, manifest: Manifest) -> Path:
        """Path of a manifest; equal for equal inputs and recipe, whatever the result."""
        return self.root / "manifests" / manifest_name(manifest)

    def write_manifest(self, manifest: Manifest) -> Path:
        """Write a manifest. Its name is a content id of inputs and recipe, so a rerun replaces it."""
        path = self.manifest_path(manifest)
        write_file(path, manifest.model_dump_json(indent=2).encode() + b"\n")
        return path


def _no_corpus(folder: Path) -> str:
    """What a folder is that is no corpus, and how to name or have one: people forget to go into their project."""
    if what := made_by_us(folder):
        return f"{what}, not a corpus; name the corpus's folder with --corpus"
    for around in () if folder.is_absolute() or folder.exists() else (Path(".."), *sorted(Path().glob("*/"))):
        if (around / folder / MARKER).is_file():
            there = f"--corpus {quote(str(around / folder))}"
            return f"not a corpus; there is one in {around}: cd {quote(str(around))}, or {there}"
    return f"not a corpus; create one with: curate ingest FILE --corpus {quote(str(folder))}"


def _marker(version: int) -> bytes:
    return canonical_json({"format_version": version}) + b"\n"


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows under a schema: columns that an older version did not write are null."""
    if rows.schema.equals(schema):
        return rows.replace_schema_metadata(schema.metadata)
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, names=schema.names).cast(schema)


def scan_part(
    part: Path, columns: Sequence[str] | None = None, batch_rows: int = 1024
) -> Iterator[pa.RecordBatch]:
    """Stream the rows of one part.

    Raises:
        CorpusError: if it does not exist, or is not a Parquet file.
    """
    with opened(part) as file:
        threads = file.metadata.num_rows > ROW_GROUP  # to start them costs more than to read a small part
        yield from file.iter_batches(
            batch_size=batch_rows, columns=list(columns) if columns else None, use_threads=threads
        )


def part_schema(part: Path) -> pa.Schema:
    """The columns of one part; raises as `opened` does."""
    with opened(part) as file:
        return file.schema_arrow


@contextmanager
def opened(part: Path) -> Iterator[pq.ParquetFile]:
    """A part to read from.

    Raises:
        CorpusError: if it does not exist, or turns out to be damaged while it is read.
    """
    try:
        with pq.ParquetFile(part, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError:
        raise CorpusError(gone(part)) from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorpusError(damaged(part, str(error))) from error


def rows_of(parts: Iterable[Path]) -> int:
    """How many rows some parts have, by their footers; raises as `opened` does."""
    count = 0
    for part in parts:
        with opened(part) as file:
            count += file.metadata.num_rows
    return count


def replaced(part: Path) -> set[str]:
    """Names of the parts that a packed part took the place of; raises as `opened` does."""
    with opened(part) as file:
        try:
            names = json.loads((file.metadata.metadata or {})[REPLACES])
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                return set(names)
        except (ValueError, KeyError):
            pass
    raise CorpusError(damaged(part, "packed, but does not say which parts it replaces"))


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a Parquet file so that it appears whole or not at all.

    Raises:
        CorpusError: if the disk is full or the folder cannot be written.
    """
    write_tables(path, table.schema, [table])


def write_tables(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Like `write_parquet`, a piece at a time."""
    few = [name for name in FEW_VALUES if name in schema.names]
    how = {"compression": "snappy", "use_dictionary": few, "write_page_checksum": True}
    with _appearing(path) as temporary:
        with pq.ParquetWriter(temporary, schema, **how) as writer:
            for table in tables:
                writer.write_table(table, row_group_size=ROW_GROUP)
        seal(temporary)


def write_file(path: Path, data: bytes) -> None:
    """Write a small file so that it appears whole or not at all; raises as `write_parquet` does."""
    with _appearing(path) as temporary:
        temporary.write_bytes(data)


def make_folder(path: Path) -> None:
    """Create a folder and its parents; raises as `write_parquet` does."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(path, error) from error


def disk_error(path: Path, error: OSError) -> CorpusError:
    """Say what an operating-system error means for the user."""
    meanings = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again (finished parts are kept)",
        errno.EDQUOT: "your disk quota is used up; free some space and run the same command again",
        errno.EACCES: "no permission to write here; choose another folder or change its mode",
        errno.EPERM: "no permission to write here; choose another folder or change its mode",
        errno.EROFS: "the file system is read-only; choose another folder",
        errno.ENOTDIR: "a part of this path is a file, not a folder; choose another folder",
        errno.EISDIR: "a folder of this name is in the way; name a file",
        errno.EEXIST: "a file of this name is in the way; choose another folder",
    }
    return CorpusError(f"{path}: {meanings.get(error.errno or 0, str(error))}")


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    make_folder(path.parent)
    temporary = path.parent / f".tmp-{os.getpid()}-{path.name}"
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        _fsync_folder(path.parent)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keys_id(table: str, pieces: Iterable[pa.Table]) -> str:
    """The id of the lines that the keys of some rows make, put together a few thousand rows at a time."""
    digest, between = hashlib.blake2b(digest_size=16), ""
    for rows in pieces:
        for batch in rows.select(KEYS[table]).to_batches(max_chunksize=ROW_GROUP):
            keys = zip(*(column.to_pylist() for column in batch), strict=True)
            digest.update((between + "\n".join("\t".join(key) for key in keys)).encode())
            between = "\n"
    return digest.hexdigest()
