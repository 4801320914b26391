"""How much memory a stage may hold: one setting, CURATE_MEMORY, for DuckDB, tables of ids and everything else that would grow.

What goes beyond it lies in files without a name beside the corpus, which the kernel deletes with the process. Their pages may
show up as resident memory, but the kernel drops them when somebody needs the room.
"""

import mmap
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import RecipeError

VARIABLE = "CURATE_MEMORY"
DEFAULT = "4GB"
UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
LEAST = 200 * 10**6

Array = np.ndarray[Any, Any]


def limit() -> int:
    """Bytes that a stage may hold besides the libraries themselves.

    Raises:
        RecipeError: if CURATE_MEMORY is no size, or too small to work with.
    """
    text = os.environ.get(VARIABLE, DEFAULT)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MGT]B)", text.strip().upper())
    size = int(float(match[1]) * UNITS[match[2]]) if match else 0
    if size < LEAST:
        raise RecipeError(f"{VARIABLE}={text}: give a size of 200MB or more, such as {VARIABLE}=4GB")
    return size


def megabytes(size: int) -> str:
    """Bytes as DuckDB reads them."""
    return f"{size // 10**6}MB"


def on_disk(size: int, folder: Path) -> mmap.mmap:
    """Zeroed memory that lies in a nameless file.

    Args:
        size: bytes, 1 or more.
        folder: on the disk to use.

    Raises:
        OSError: if the disk has no room; found out here, since later it would be a signal that kills.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size)
        return mmap.mmap(file.fileno(), size)


class DiskArray:
    """A zeroed numpy array in a nameless file, or in memory where it may be; raises as `on_disk` does.

    Args:
        shape: of the array.
        kind: its type, such as "i8".
        folder: on the disk to use; null for memory.
    """

    def __init__(self, shape: tuple[int, ...], kind: str, folder: Path | None) -> None:
        self.folder = folder
        self.array: Array = np.zeros(0 if folder else shape, np.dtype(kind))
        if folder:
            count = int(np.prod(shape))
            self._map = on_disk(max(count * np.dtype(kind).itemsize, 1), folder)
            self.array = np.frombuffer(self._map, np.dtype(kind), count).reshape(shape)

    def release_memory(self) -> None:
        """Take the pages of a file out of this process's memory; what was written stays."""
        if self.folder:
            self._map.madvise(mmap.MADV_DONTNEED)
