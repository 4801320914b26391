"""The only files that SQL can reach: Parquet files of one corpus, under addresses `corpus://...`, and only to read them; and the types of their columns.

DuckDB's own file access stays switched off (`curation.corpus.query.connect`), so a COPY, an ATTACH or an EXPORT that got past
every other check has no file it could write.
"""

import io
import os
import threading
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from fsspec import AbstractFileSystem

from curation.corpus.filling import identifier

SCHEME = "corpus://"
_TYPES = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
}
"""What DuckDB calls the types of our columns; to ask DuckDB itself, it would have to load pandas."""


class PartFile(io.RawIOBase):
    """A part that several threads read at once.

    DuckDB's threads share one file and each first seeks, then reads, so every thread has a place of its own.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._place = threading.local()

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where this thread reads next, in bytes."""
        return getattr(self._place, "offset", 0)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move this thread's place."""
        if whence != os.SEEK_SET:
            offset += self.tell() if whence == os.SEEK_CUR else os.fstat(self._descriptor).st_size
        self._place.offset = offset
        return self.tell()

    def read(self, size: int = -1, /) -> bytes:
        """The bytes from this thread's place on: `size` of them unless the file ends before."""
        left = size if size >= 0 else max(0, os.fstat(self._descriptor).st_size - self.tell())
        pieces = []
        while left > 0 and (piece := os.pread(self._descriptor, left, self.tell())):
            pieces.append(piece)
            left -= len(piece)
            self.seek(len(piece), os.SEEK_CUR)
        return b"".join(pieces)

    def close(self) -> None:
        """Give the descriptor back."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class PartFiles(AbstractFileSystem):  # type: ignore[misc]
    """What DuckDB calls of a file system; whatever would write raises.

    Args:
        root: the folder of the corpus.
    """

    protocol: ClassVar[str] = "corpus"
    cachable = False

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix(SCHEME)

    def _file(self, path: str) -> Path:
        return _part(self._root, self._strip_protocol(path))

    def open(self, path: str, mode: str = "rb", **_: Any) -> PartFile:
        """The file, for reading; raises PermissionError for any other mode."""
        if mode != "rb":
            raise PermissionError(f"{path}: the corpus is read-only here")
        return PartFile(self._file(path))

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Size and age of a file."""
        found = self._file(path).stat()
        return {"name": path, "size": found.st_size, "type": "file", "mtime": found.st_mtime}

    def modified(self, path: str) -> datetime:
        """When a file was last written."""
        return datetime.fromtimestamp(self._file(path).stat().st_mtime, UTC)

    def exists(self, path: str, **_: Any) -> bool:
        """Whether there is such a file."""
        return self._file(path).is_file()

    def isfile(self, path: str) -> bool:
        """Whether there is such a file."""
        return self.exists(path)

    def glob(self, path: str, **_: Any) -> list[str]:
        """The path itself, if there is such a file; no wildcards."""
        return [path] if self.exists(path) else []

    def ls(self, path: str, **_: Any) -> list[Any]:
        """Nothing is listed."""
        raise PermissionError(f"{path}: folders of the corpus are not listed here")


@lru_cache(maxsize=4096)
def _part(root: Path, name: str) -> Path:
    """The part of that name; kept, since DuckDB asks for each dozens of times while it plans a query."""
    named = Path(name)
    if named.is_absolute() or ".." in named.parts or named.suffix != ".parquet":
        raise PermissionError(f"{SCHEME}{name}: not a part of the corpus")
    return root / named


def address(root: Path, part: Path) -> str:
    """How SQL names a part of the corpus at `root`."""
    return SCHEME + os.fspath(part.absolute().relative_to(root.absolute()))


def sql_type(kind: pa.DataType) -> str:
    """What DuckDB calls an Arrow type of our tables.

    Raises:
        KeyError: for a type that no table has.
    """
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{identifier(field.name)} {sql_type(field.type)}' for field in kind)})"
    return _TYPES[kind]


def same_type(given: Any, wanted: pa.DataType) -> bool:
    """Whether a column of DuckDB, of a type `given` as it tells it, has the type that an Arrow column of a table has; raises as `sql_type`."""
    if pa.types.is_list(wanted):
        return given.id == "list" and same_type(given.children[0][1], wanted.value_type)
    if not pa.types.is_struct(wanted):
        return str(given) == sql_type(wanted)
    fields = list(wanted)
    return (
        given.id == "struct"
        and [name for name, _ in given.children] == [field.name for field in fields]
        and all(same_type(kind, field.type) for (_, kind), field in zip(given.children, fields, strict=True))
    )
