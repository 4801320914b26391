"""Near-duplicates: MinHash sketches of word n-grams, LSH bands for candidate pairs, and a check of each pair.

A sketch is 120 numbers; 20 bands of 6 make two texts of Jaccard similarity 0.8 a candidate pair with probability 0.998, and those
of 0.5 with 0.27. Candidate pairs are compared on the low byte of each number: 120 bytes per text are stored, not 480. Keys, bytes
and labels may be on disk: no function here loads more than a chunk of them into memory.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from curation.overlap.words import Hashes, Places, Words, ngram_hashes, ngrams

BANDS = 20
ROWS = 6
NUMBERS = BANDS * ROWS
SEED = 42
PAIRS_AT_ONCE = 1 << 16
CHUNK = 1 << 20

Labels = Places
"""The cluster of each text, as the lowest number of a text in it (or one that leads there, before `roots`)."""
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Near = Callable[[Places, Places], Mask]
"""Decides which candidate pairs are similar enough."""


class Sketches(NamedTuple):
    """Sketches of some texts, a row each."""

    bands: Hashes
    """(texts, BANDS): equal for candidate pairs."""
    bytes: "np.ndarray[Any, np.dtype[np.uint8]]"
    """(texts, NUMBERS): the share of equal bytes estimates Jaccard similarity, within 0.04 or so."""
    blank: "np.ndarray[Any, np.dtype[np.bool_]]"
    """Texts without a word: similar to nothing."""


def sketch(words: Words, run: int) -> Sketches:
    """Sketch the word n-grams of each text."""
    from rensa import RMinHash

    shingles = ngrams(words, run)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        shingles.hashes, shingles.offsets.astype(np.uint64), NUMBERS, SEED
    )
    numbers = np.array(matrix.to_rows(), dtype=np.uint32).reshape(-1, NUMBERS)
    banded = numbers.astype(np.uint64).reshape(-1, ROWS)
    bands = _fold(banded).reshape(-1, BANDS)
    return Sketches(bands, (numbers & 0xFF).astype(np.uint8), np.diff(words.offsets) == 0)


def fingerprints(words: Words) -> Hashes:
    """One hash per text over all its words in order; 0 for a text without words."""
    places = np.arange(len(words.hashes)) - np.repeat(words.offsets[:-1], np.diff(words.offsets))
    with np.errstate(over="ignore"):
        spread = ngram_hashes(words.hashes ^ (places.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)), 1)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(spread, dtype=np.uint64)])
        prints = sums[words.offsets[1:]] - sums[words.offsets[:-1]]
    prints[np.diff(words.offsets) == 0] = 0
    return prints


def similarities(
    bytes_: "np.ndarray[Any, np.dtype[np.uint8]]", left: Places, right: Places
) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Estimated Jaccard similarity of pairs of texts, by the low bytes of their sketches."""
    shares = np.empty(len(left), dtype=np.float32)
    for start in range(0, len(left), PAIRS_AT_ONCE):
        chunk = slice(start, start + PAIRS_AT_ONCE)
        shares[chunk] = (bytes_[left[chunk]] == bytes_[right[chunk]]).mean(1, dtype=np.float32)
    return shares


def link(labels: Labels, left: Places, right: Places, near: Near | None = None) -> None:
    """Merge the clusters of each similar pair; `roots` then gives a cluster's lowest member."""
    apart = roots(labels, left) != roots(labels, right)
    left, right = left[apart], right[apart]
    if near:
        is_near = near(left, right)
        left, right = left[is_near], right[is_near]
    while len(left):
        a, b = roots(labels, left), roots(labels, right)
        low, high = np.minimum(a, b), np.maximum(a, b)
        open_ = low != high
        left, right = left[open_], right[open_]
        np.minimum.at(labels, high[open_], low[open_])


def roots(labels: Labels, places: Places) -> Labels:
    """The lowest members of the clusters of some texts, with path compression."""
    lowest = labels[places]
    while True:
        further = labels[lowest]
        if np.array_equal(further, lowest):
            break
        lowest = further
    labels[places] = lowest
    return lowest


def candidate_pairs(keys: Hashes, ranks: Places, at_once: int) -> Iterator[tuple[Places, Places]]:
    """Pairs of ranks with equal keys: each with the first of its bucket, then with its predecessor; key 0 equals nothing.

    Args:
        keys: one per text, possibly on disk.
        ranks: of the same texts; a bucket's first has the lowest.
        at_once: maximum texts in memory. If more share a key, the first is kept and the rest is processed in chunks.
    """
    shares = max(1, -(-len(keys) // max(at_once, 1)))
    for share in range(shares):
        waiting, rows = [(np.zeros(0, np.uint64), np.zeros(0, np.int64))], 0
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start : start + CHUNK]
            mine = (chunk != 0) & (chunk % np.uint64(shares) == share)
            waiting.append((chunk[mine], ranks[start : start + CHUNK][mine]))
            rows += len(waiting[-1][0])
            if rows > 2 * at_once:
                merged = _merged(waiting)
                yield from _pairs(*merged)
                waiting = [_firsts(*merged)]
                rows = len(waiting[0][0])
        yield from _pairs(*_merged(waiting))


def _merged(waiting: list[tuple[Hashes, Places]]) -> tuple[Hashes, Places]:
    return np.concatenate([keys for keys, _ in waiting]), np.concatenate([ranks for _, ranks in waiting])


def _firsts(keys: Hashes, ranks: Places) -> tuple[Hashes, Places]:
    """The lowest rank of each key."""
    order = np.lexsort((ranks, keys))
    keys, ranks = keys[order], ranks[order]
    first = np.concatenate([np.ones(min(len(keys), 1), bool), keys[1:] != keys[:-1]])
    return keys[first], ranks[first]


def _pairs(keys: Hashes, ranks: Places) -> Iterator[tuple[Places, Places]]:
    order = np.argsort(
        keys
    )  # not stable, but three times as fast; few keys stand twice, and those are sorted below
    twice = keys[order][1:] == keys[order][:-1]
    member = np.zeros(len(keys), bool)
    member[1:] |= twice
    member[:-1] |= twice
    keys, ranks = keys[order[member]], ranks[order[member]]
    order = np.lexsort((ranks, keys))
    keys, ranks = keys[order], ranks[order]
    same = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    heads = np.ones(len(keys), dtype=bool)
    heads[same] = False
    first = np.maximum.accumulate(np.where(heads, np.arange(len(keys)), 0))
    yield ranks[first[same]], ranks[same]
    yield ranks[same - 1], ranks[same]


def _fold(numbers: Hashes) -> Hashes:
    """One hash per row of a matrix."""
    return ngram_hashes(numbers.reshape(-1), numbers.shape[1])[:: numbers.shape[1]]
