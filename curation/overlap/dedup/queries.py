"""The raw query of a prompt: the prompt without its template.

Jailbreak families share templates of hundreds of words around a query of ten, so whole prompts of one family look alike. A word
8-gram that occurs in many prompts belongs to a template; the templates need not be known.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from curation.overlap.words import Hashes, Words, ngram_hashes

RUN = 8
COUNTERS = 1 << 25
LEAST = 3
"""Minimum words of a raw query; with fewer, the whole prompt is the query."""

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Slots = np.ndarray[Any, np.dtype[np.int64]]
Times = np.ndarray[Any, np.dtype[np.uint32]]


def count_part(batches: Iterable[Words]) -> tuple[Slots, Times]:
    """Counters of n-grams and their document frequencies; n-grams that share a counter add up (rarely, and by little)."""
    slot_parts, times = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for words in batches:
        runs, rows = _ngrams(words)
        slots = (runs % COUNTERS).astype(np.int64)
        distinct = np.unique(slots + rows * COUNTERS) % COUNTERS
        for gathered, new in zip((slot_parts, times), np.unique(distinct, return_counts=True), strict=True):
            gathered.append(new)
    slots, places = np.unique(np.concatenate(slot_parts), return_inverse=True)
    return slots, np.bincount(places, np.concatenate(times), len(slots)).astype(np.uint32)


def template_mask(common: Slots) -> Mask:
    """A mask over all counters, true for n-grams of templates."""
    mask = np.zeros(COUNTERS, dtype=bool)
    mask[common] = True
    return mask


def outside(words: Words, template: Mask) -> Mask:
    """A mask of the words of the raw query: those in no n-gram of a template."""
    runs = ngram_hashes(words.hashes, RUN)
    rows = np.repeat(np.arange(len(words.offsets) - 1), np.diff(words.offsets))
    common = np.flatnonzero(template[(runs % COUNTERS).astype(np.int64)] & _within(rows, len(runs)))
    keep = np.ones(len(words.hashes), dtype=bool)
    for step in range(RUN):
        keep[common + step] = False
    left = np.bincount(rows[keep], minlength=len(words.offsets) - 1)
    return keep | (left < LEAST)[rows]


def only(words: Words, keep: Mask) -> Words:
    """The words of a mask, row by row."""
    kept = np.concatenate([[0], np.cumsum(keep)])
    return Words(words.hashes[keep], kept[words.offsets].astype(np.int64))


def _ngrams(words: Words) -> tuple[Hashes, "np.ndarray[Any, np.dtype[np.int64]]"]:
    runs = ngram_hashes(words.hashes, RUN)
    rows = np.repeat(np.arange(len(words.offsets) - 1), np.diff(words.offsets))
    inside = _within(rows, len(runs))
    return runs[inside], rows[: len(runs)][inside]


def _within(rows: "np.ndarray[Any, np.dtype[np.int64]]", count: int) -> Mask:
    """Whether the n-gram starting at each word ends in the same row."""
    return rows[:count] == rows[RUN - 1 : RUN - 1 + count]
