"""A map from ids to numbers that need not fit into memory: a dict up to a budget, beyond that a file with 24 bytes per slot.

The file stores 128 bits of each id, so the probability of a collision among a billion ids is 1e-21. A full table is never
copied: another, four times as large, is added, and look-ups search all of them.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from curation.corpus import memory

ENTRY = 250
"""Bytes per id in memory."""
PLACES = 1 << 20
"""Slots of the first table on disk."""
PLACE = 24
FULL = 0.6
"""Maximum load factor of a table."""
LOW = (1 << 64) - 1


class KnownIds:
    """A dict from ids to numbers below 2^63.

    Args:
        folder: for the file.
        budget: maximum bytes in memory.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self._folder = folder
        self._near: dict[str, int] = {}
        self._near_room = budget // ENTRY
        self._tables: list[memoryview] = []
        self._masks: list[int] = []
        self._room = 0
        self._far = 0

    def __len__(self) -> int:
        return len(self._near) + self._far

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def get(self, key: str) -> int | None:
        """The number of an id, or null."""
        known = self._near.get(key)
        return self._find(*_split(key))[0] if known is None and self._far else known

    def setdefault(self, key: str, number: int) -> int | None:
        """The number of an id; if it has none, set this one and return null.

        Raises:
            OSError: if the disk is full.
        """
        known = self._near.get(key)
        if known is not None:
            return known
        if len(self._near) < self._near_room:
            self._near[key] = number
            return None
        high, low = _split(key)
        known, place = self._find(high, low)
        if known is not None:
            return known
        if not self._room:
            self._grow()
            place = self._find(high, low)[1]
        table = self._tables[-1]
        table[place], table[place + 1], table[place + 2] = high, low, number + 1
        self._room -= 1
        self._far += 1
        return None

    def setdefaults(self, keys: Sequence[str], numbers: Sequence[int]) -> list[int | None]:
        """`setdefault` of many ids, in their order."""
        near = self._near
        if not self._far and len(near) + len(keys) <= self._near_room:
            known = list(map(near.get, keys))
            if len(set(keys)) == len(keys):
                near.update(
                    pair
                    for pair, one in zip(zip(keys, numbers, strict=True), known, strict=True)
                    if one is None
                )
                return known
        return list(map(self.setdefault, keys, numbers))

    def _find(self, high: int, low: int) -> tuple[int | None, int]:
        """The number of an id on disk, or null and a free slot in the last table."""
        place = 0
        for table, mask in zip(self._tables, self._masks, strict=True):
            slot = low & mask
            while number := table[(place := 3 * slot) + 2]:
                if table[place + 1] == low and table[place] == high:
                    return number - 1, place
                slot = (slot + 1) & mask
        return None, place

    def _grow(self) -> None:
        places = 4 * (self._masks[-1] + 1) if self._masks else PLACES
        self._tables.append(memoryview(memory.on_disk(places * PLACE, self._folder)).cast("Q"))
        self._masks.append(places - 1)
        self._room = int(places * FULL)


def _split(key: str) -> tuple[int, int]:
    """The two halves of an id's 128 bits; ids that are not content ids are hashed.

    `int` also accepts capitals, signs, spaces and underscores, so the digits are compared with their canonical form.
    """
    try:
        number = int(key, 16) if len(key) == 32 else -1
    except ValueError:
        number = -1
    if number < 0 or f"{number:032x}" != key:
        number = int.from_bytes(hashlib.blake2b(key.encode("utf-8"), digest_size=16).digest())
    return number >> 64, number & LOW
