"""How many traces an annotator gets at once: few at first, and more while that takes little time, so that progress moves, results are
written every few seconds and an interruption loses little, however slow the annotator is."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pyarrow as pa

FIRST = 16
FIRST_OF_A_MODEL = 64
"""A model answers many questions at a time; fewer would leave it idle."""
FIRST_OF_A_SLOW_MODEL = 8
"""On a CPU 64 replies may take an hour, all of which an interruption would lose."""
SECONDS = 2.0
"""A batch that takes less is doubled, one that takes three times as long is halved."""

R = TypeVar("R")


class Pace:
    """The size of the next batch.

    Args:
        first: traces of the first batch, and of the smallest.
        most: traces of the largest. An annotator that asks for few (up to `FIRST_OF_A_MODEL`) always gets so many.
    """

    def __init__(self, first: int, most: int) -> None:
        self._least, self._most = most if most <= FIRST_OF_A_MODEL else first, most
        self.size = self._least

    def timed(self, work: Callable[[], R], clock: Callable[[], float] = time.monotonic) -> R:
        """Do the work of one batch, and choose the next size by the time it took."""
        began = clock()
        done = work()
        seconds = clock() - began
        if seconds < SECONDS:
            self.size = min(2 * self.size, self._most)
        elif seconds > 3 * SECONDS:
            self.size = max(self.size // 2, self._least)
        return done

    def slices(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """A batch in pieces of the size that is right when each is asked for."""
        start = 0
        while start < batch.num_rows:
            yield batch.slice(start, length := self.size)
            start += length
