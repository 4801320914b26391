"""Near-duplicates: MinHash sketches of word runs, banded so that alike texts meet, and checked where they meet.

A sketch is 120 numbers; 20 bands of 6 bring two texts of Jaccard similarity 0.8 together with probability 0.998, and those of
0.5 with 0.27. What meets is compared on the low byte of each number: 120 bytes a text stay in memory, not 480.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from curation.words import Hashes, Places, Words, ngrams, run_hashes

BANDS = 20
ROWS = 6
NUMBERS = BANDS * ROWS
SEED = 42
PAIRS_AT_ONCE = 1 << 18

Labels = Places
"""The cluster of each text, as the lowest number of a text in it."""


class Sketches(NamedTuple):
    """Sketches of some texts, a row each."""

    bands: Hashes
    """(texts, BANDS): equal where two texts may be alike."""
    bytes: "np.ndarray[Any, np.dtype[np.uint8]]"
    """(texts, NUMBERS): the share of equal bytes estimates Jaccard similarity, within 0.04 or so."""
    blank: "np.ndarray[Any, np.dtype[np.bool_]]"
    """Texts without a word: they are alike to nothing."""


def sketch(words: Words, run: int) -> Sketches:
    """Sketch each text's runs of `run` words."""
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
        spread = run_hashes(words.hashes ^ (places.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)), 1)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(spread, dtype=np.uint64)])
        found = sums[words.offsets[1:]] - sums[words.offsets[:-1]]
    found[np.diff(words.offsets) == 0] = 0
    return found


def equal(keys: Hashes) -> Labels:
    """Cluster equal keys; 0 is equal to nothing."""
    labels = np.arange(len(keys), dtype=np.int64)
    for left, right in _meetings(keys, keys == 0):
        labels = join(labels, left, right)
    return labels


def alike(sketches: Sketches, threshold: float) -> Labels:
    """Cluster texts whose estimated similarity reaches the threshold; a cluster is what chains of such pairs connect."""
    labels = np.arange(len(sketches.blank), dtype=np.int64)
    for band in range(BANDS):
        for left, right in _meetings(sketches.bands[:, band], sketches.blank):
            apart = labels[left] != labels[right]
            left, right = left[apart], right[apart]
            near = similarities(sketches, left, right) >= threshold
            labels = join(labels, left[near], right[near])
    return labels


def similarities(sketches: Sketches, left: Places, right: Places) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Estimated Jaccard similarity of pairs of texts."""
    found = np.empty(len(left), dtype=np.float32)
    for start in range(0, len(left), PAIRS_AT_ONCE):
        chunk = slice(start, start + PAIRS_AT_ONCE)
        found[chunk] = (sketches.bytes[left[chunk]] == sketches.bytes[right[chunk]]).mean(1, dtype=np.float32)
    return found


def join(labels: Labels, left: Places, right: Places) -> Labels:
    """Merge the clusters of each pair; a cluster's label stays its lowest member."""
    while True:
        low = np.minimum(labels[left], labels[right])
        high = np.maximum(labels[left], labels[right])
        open_ = low != high
        if not open_.any():
            return labels
        left, right = left[open_], right[open_]
        np.minimum.at(labels, high[open_], low[open_])
        while not np.array_equal(
            shorter := labels[labels], labels
        ):  # labels point at labels until they point at the lowest
            labels = shorter


def _meetings(keys: Hashes, skip: "np.ndarray[Any, np.dtype[np.bool_]]") -> Iterator[tuple[Places, Places]]:
    """Pairs with equal keys: each with the first of its bucket, then with the one before it."""
    order = np.argsort(keys, kind="stable")
    order = order[~skip[order]]
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1]) + 1
    heads = np.ones(len(order), dtype=bool)
    heads[same] = False
    first = np.maximum.accumulate(np.where(heads, np.arange(len(order)), 0))
    yield order[first[same]], order[same]
    yield order[same - 1], order[same]


def _fold(numbers: Hashes) -> Hashes:
    """One hash per row of a matrix."""
    return run_hashes(numbers.reshape(-1), numbers.shape[1])[:: numbers.shape[1]]
