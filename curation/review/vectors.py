"""Vectors for the review page's "find similar": TF-IDF of words and word pairs, hashed into a few dimensions.

Good enough to bring together traces that share wording, and it needs no model. The weights come from the round's own
traces, which never change, so a trace keeps its vector when it is pushed again.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log

DIMENSIONS = 128
DECIMALS = 4
MAX_CHARACTERS = 6000
"""Of a text that count; beyond them a vector hardly changes."""
BUCKETS = 1 << 18
"""Places to count in how many texts a feature stands; two that share one are weighted as if they were one."""

_WORD = re.compile(r"\w+")


def vectors(texts: Sequence[str]) -> Iterator[list[float]]:
    """A vector of length one for each text (zeros for a text without words)."""
    seen = [0] * BUCKETS
    for text in texts:
        for hashed in set(_features(text)):
            seen[hashed % BUCKETS] += 1
    for text in texts:
        yield _vector(text, seen, len(texts))


def _features(text: str) -> list[int]:
    words = [match.group().lower() for match in _WORD.finditer(text[:MAX_CHARACTERS])]
    pairs = (f"{left} {right}" for left, right in pairwise(words))
    return [zlib.crc32(feature.encode()) for feature in (*words, *pairs)]


def _vector(text: str, seen: Sequence[int], total: int) -> list[float]:
    sums = [0.0] * DIMENSIONS
    for hashed, times in Counter(_features(text)).items():
        weight = (1 + log(times)) * log((1 + total) / seen[hashed % BUCKETS])
        sums[(hashed >> 18) % DIMENSIONS] += weight if hashed & 0x8000_0000 else -weight
    length = sum(value * value for value in sums) ** 0.5
    return [round(value / length, DECIMALS) for value in sums] if length else sums
