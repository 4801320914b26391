"""The memory limit of a stage, CURATE_MEMORY, for DuckDB, id tables and everything else that grows with the corpus.

Data beyond it is in unnamed files next to the corpus, which the kernel deletes with the process. Their pages may count as
resident memory, but the kernel evicts them under memory pressure.
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
    """The limit in bytes, without the libraries themselves.

    Raises:
        RecipeError: if CURATE_MEMORY is not a size, or is too small.
    """
    text = os.environ.get(VARIABLE, DEFAULT)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MGT]B)", text.strip().upper())
    size = int(float(match[1]) * UNITS[match[2]]) if match else 0
    if size < LEAST:
        raise RecipeError(f"{VARIABLE}={text}: not a size of 200MB or more; set for example {VARIABLE}=4GB")
    return size


def megabytes(size: int) -> str:
    """A size in DuckDB's notation."""
    return f"{size // 10**6}MB"


def on_disk(size: int, folder: Path) -> mmap.mmap:
    """Zeroed memory in an unnamed file.

    Args:
        size: bytes, 1 or more.
        folder: on the disk to use.

    Raises:
        OSError: if the disk is full; checked here, since later it would be a fatal signal.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size)
        return mmap.mmap(file.fileno(), size)


class DiskArray:
    """A zeroed numpy array in an unnamed file or in memory; raises as `on_disk` does.

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
        """Evict the file's pages from this process's memory; the data is kept."""
        if self.folder:
            self._map.madvise(mmap.MADV_DONTNEED)
