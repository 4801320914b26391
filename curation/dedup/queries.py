"""The raw query of a prompt: what is left of it without the template it is wrapped in.

Jailbreak families share templates of hundreds of words around a query of ten, so whole prompts of one family all look alike. A
run of eight words that stands in many prompts belongs to a template; nobody has to know the templates.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from curation.words import Hashes, Words, run_hashes

RUN = 8
COUNTERS = 1 << 25
LEAST = 3
"""Words; where less is left, the prompt is its own query."""

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def count_runs(batches: Iterable[Words]) -> "np.ndarray[Any, np.dtype[np.uint32]]":
    """In how many texts each run of words stands, by hash; two runs that share a counter add up (rarely, and by little)."""
    counts = np.zeros(COUNTERS, dtype=np.uint32)
    for words in batches:
        runs, rows = _runs(words)
        slots = (runs % COUNTERS).astype(np.int64)
        distinct = np.unique(slots + rows * COUNTERS) % COUNTERS
        found, times = np.unique(distinct, return_counts=True)
        counts[found] += times.astype(np.uint32)
    return counts


def query_words(words: Words, counts: "np.ndarray[Any, np.dtype[np.uint32]]", template_from: int) -> Mask:
    """Which words belong to the raw query: those in no run that stands in `template_from` texts or more."""
    runs = run_hashes(words.hashes, RUN)
    rows = np.repeat(np.arange(len(words.offsets) - 1), np.diff(words.offsets))
    common = np.flatnonzero(
        (counts[(runs % COUNTERS).astype(np.int64)] >= template_from) & _within(rows, len(runs))
    )
    keep = np.ones(len(words.hashes), dtype=bool)
    for step in range(RUN):
        keep[common + step] = False
    left = np.bincount(rows[keep], minlength=len(words.offsets) - 1)
    return keep | (left < LEAST)[rows]


def only(words: Words, keep: Mask) -> Words:
    """The words of a mask, row by row."""
    kept = np.concatenate([[0], np.cumsum(keep)])
    return Words(words.hashes[keep], kept[words.offsets].astype(np.int64))


def _runs(words: Words) -> tuple[Hashes, "np.ndarray[Any, np.dtype[np.int64]]"]:
    runs = run_hashes(words.hashes, RUN)
    rows = np.repeat(np.arange(len(words.offsets) - 1), np.diff(words.offsets))
    inside = _within(rows, len(runs))
    return runs[inside], rows[: len(runs)][inside]


def _within(rows: "np.ndarray[Any, np.dtype[np.int64]]", count: int) -> Mask:
    """Whether the run from each word on ends in the row it starts in."""
    return rows[:count] == rows[RUN - 1 : RUN - 1 + count]
