"""The buffer of every stage that writes parts as it goes: many small parts are slow to open, large ones lose more when killed."""

import math
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PartBuffer(Generic[T]):
    """Collects what belongs in one part, and hands it over when the part is large or old enough.

    In a `with` block, what is left is written at the end, also after an error.
    """

    def __init__(self, write: Callable[[list[T]], None], most: int, seconds: float = math.inf) -> None:
        """
        Args:
            write: writes a part.
            most: size at which a part is written.
            seconds: age at which it is written, however small.
        """
        self._write, self._most, self._seconds = write, most, seconds
        self._clear()

    def __enter__(self) -> "PartBuffer[T]":
        return self

    def __exit__(self, *unused: object) -> None:
        self.flush()

    def add(self, item: T, size: int = 1) -> None:
        """Take one item, and write the part if it is due."""
        self._items.append(item)
        self._size += size
        if self._size >= self._most or time.monotonic() - self._since > self._seconds:
            self.flush()

    def flush(self) -> None:
        """Write what waits, if anything does."""
        items = self._items
        self._clear()
        if items:
            self._write(items)

    def _clear(self) -> None:
        self._items: list[T] = []
        self._size = 0
        self._since = time.monotonic()
