"""The only files that SQL can reach: Parquet files of one corpus, under addresses `corpus://...`, and only to read them.

DuckDB's own file access stays switched off (`curation.corpus.query.connect`), so a COPY, an ATTACH or an EXPORT that got past
every other check has no file it could write.
"""

import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from fsspec import AbstractFileSystem

SCHEME = "corpus://"


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
        named = Path(self._strip_protocol(path))
        if named.is_absolute() or ".." in named.parts or named.suffix != ".parquet":
            raise PermissionError(f"{path}: not a part of the corpus")
        return self._root / named

    def open(self, path: str, mode: str = "rb", **_: Any) -> io.FileIO:
        """The file, for reading; raises PermissionError for any other mode."""
        if mode != "rb":
            raise PermissionError(f"{path}: the corpus is read-only here")
        return io.FileIO(self._file(path), "r")

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


def address(root: Path, part: Path) -> str:
    """How SQL names a part of the corpus at `root`."""
    return SCHEME + os.fspath(part.absolute().relative_to(root.absolute()))
