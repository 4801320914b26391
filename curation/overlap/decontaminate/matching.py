"""Finds evaluation prompts in texts by shared word n-grams, over whole Arrow arrays at once.

Three lengths are used: a shared 13-gram is no coincidence, and neither are 8-grams that cover most of an evaluation prompt.
3-grams point at prompts with changed words, whose words must then mostly occur in order. The surprise: n-grams in many evaluation
prompts ("find the value of") are uninformative and ignored by all three.
"""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curation.overlap.words import Hashes, Places, Words, hash_words, ngrams, word_spans

METHODS = {"ngram13": 13, "ngram8": 8, "near": 3}
"""N-gram length of each method, in words."""
COMMON = 8
"""An n-gram in more evaluation prompts than this is a stock phrase."""
SHORT = 8
"""Words; a shorter evaluation prompt is searched for only in prompts, by `near` only in those of similar length."""
POINTERS = 0.25
"""Minimum share of a target's 3-grams to be checked word by word."""
SLACK = 1.5
"""Length of the window for a changed prompt, relative to its own."""
TABLE_BITS = 22


class Index(NamedTuple):
    """The n-grams of one length of all evaluation prompts."""

    n: int
    grams: Hashes
    """Distinct and sorted."""
    first: Places
    """The rows of gram g are rows[first[g]:first[g + 1]]."""
    rows: Places
    places: Places
    """Offset of the n-gram in each of these rows, in words."""
    own: Places
    """Number of n-grams of each evaluation prompt."""
    table: "np.ndarray[Any, np.dtype[np.bool_]]"
    """A hash filter: whether any n-gram has these low bits."""


class Targets(NamedTuple):
    """Indexed evaluation prompts."""

    words: Words
    indexes: dict[str, Index]
    """By method."""


class Hit(NamedTuple):
    """An evaluation prompt found in a text."""

    text: int
    target: int
    method: str
    score: float
    """Share of the evaluation prompt in the text."""
    spans: tuple[tuple[int, int], ...]
    """The shared words, in code points of the text."""


class _SharedNgrams(NamedTuple):
    """N-grams that texts share with targets, an entry per text, target and position."""

    text: Places
    target: Places
    gram: Places
    place: Places
    """Index of the n-gram's first word in the text."""
    origin: Places
    """Index of the n-gram's first word in the target."""


def make_targets(texts: Sequence[str], methods: Sequence[str]) -> Targets:
    """Index evaluation prompts.

    Args:
        texts: the prompts.
        methods: names in METHODS.
    """
    words = hash_words(texts)
    return Targets(words, {method: _index(words, METHODS[method]) for method in methods})


def find(texts: pa.Array, targets: Targets, share: float, near: float, is_prompt: bool) -> Iterator[Hit]:
    """Find evaluation prompts in texts (no nulls).

    Args:
        texts: strings.
        targets: what to search for.
        share: minimum share of a target's words covered by shared 8-grams, from 0 to 1.
        near: minimum share of a target's words in order, from 0 to 1.
        is_prompt: whether the texts are prompts; short targets are searched for only in prompts.
    """
    words = hash_words(texts)
    lengths, wanted = np.diff(words.offsets), np.diff(targets.words.offsets)
    for method, index in targets.indexes.items():
        for text, target, shared in _pairs(_meet(index, words), index, method == "near"):
            length = int(wanted[target])
            if length < SHORT and not (is_prompt and (method != "near" or lengths[text] <= SLACK * length)):
                continue
            if method == "near":
                score, kept = _in_order(_row(words, text), _row(targets.words, target), shared)
                needed, run = near, 1
            else:
                score, kept = _covered(shared, index.n, length), shared.place
                needed, run = (share if method == "ngram8" else 0.0), index.n
            if score >= needed:
                yield Hit(text, target, method, score, _spans(texts[text].as_py(), kept, run))


def _row(words: Words, number: int) -> Hashes:
    return words.hashes[words.offsets[number] : words.offsets[number + 1]]


def _covered(shared: _SharedNgrams, n: int, length: int) -> float:
    """Share of a target's words covered by shared n-grams."""
    return len(np.unique(shared.origin[:, None] + np.arange(n))) / length


def _in_order(text: Hashes, target: Hashes, shared: _SharedNgrams) -> tuple[float, Places]:
    """Share of a target's words in order in the window with most shared n-grams, and the positions of these words."""
    places = np.sort(shared.place)
    reach = int(SLACK * len(target))
    ends = np.searchsorted(places, places + reach, side="right")
    densest = int(np.argmax(ends - np.arange(len(places))))
    start = max(0, int(places[densest]) - reach // 2)
    window = text[start : int(places[densest]) + reach]
    blocks = difflib.SequenceMatcher(
        None, window.tolist(), target.tolist(), autojunk=False
    ).get_matching_blocks()
    kept = np.concatenate([np.arange(block.a, block.a + block.size) for block in blocks]).astype(np.int64)
    return len(kept) / len(target), kept + start


def _index(words: Words, n: int) -> Index:
    runs = ngrams(words, n, short=False)
    owners = np.repeat(np.arange(len(runs.offsets) - 1), np.diff(runs.offsets))
    places = np.arange(len(runs.hashes)) - runs.offsets[owners]
    order = np.lexsort((places, owners, runs.hashes))
    hashes, owners, places = runs.hashes[order], owners[order], places[order]
    new = np.ones(len(hashes), dtype=bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    hashes, owners, places = hashes[new], owners[new], places[new]
    grams, which, times = np.unique(hashes, return_inverse=True, return_counts=True)
    rare = times <= COMMON
    # a prompt of stock phrases only keeps them: otherwise it could never be found
    bare = np.bincount(owners, rare[which], minlength=len(words.offsets) - 1) == 0
    keep = rare[which] | bare[owners]
    hashes, owners, places = hashes[keep], owners[keep], places[keep]
    grams, first = np.unique(hashes, return_index=True)
    table = np.zeros(1 << TABLE_BITS, dtype=bool)
    table[_slots(grams)] = True
    own = np.bincount(owners, minlength=len(words.offsets) - 1)
    return Index(n, grams, np.append(first, len(hashes)), owners, places, own, table)


def _slots(hashes: Hashes) -> Places:
    return (hashes & np.uint64((1 << TABLE_BITS) - 1)).astype(np.int64)


def _meet(index: Index, words: Words) -> _SharedNgrams:
    runs = ngrams(words, index.n, short=False)
    maybe = np.flatnonzero(index.table[_slots(runs.hashes)])
    at = np.searchsorted(index.grams, runs.hashes[maybe])
    at = np.minimum(at, max(len(index.grams) - 1, 0))
    is_shared = (
        index.grams[at] == runs.hashes[maybe] if len(index.grams) else np.zeros(len(maybe), dtype=bool)
    )
    maybe, at = maybe[is_shared], at[is_shared]
    times = index.first[at + 1] - index.first[at]
    expanded = np.repeat(np.arange(len(at)), times)
    within = np.arange(len(expanded)) - np.repeat(np.cumsum(times) - times, times)
    entry = index.first[at][expanded] + within
    text = np.searchsorted(runs.offsets, maybe, side="right") - 1
    place = maybe - runs.offsets[text]
    return _SharedNgrams(
        text[expanded], index.rows[entry], at[expanded], place[expanded], index.places[entry]
    )


def _pairs(met: _SharedNgrams, index: Index, pointers: bool) -> Iterator[tuple[int, int, _SharedNgrams]]:
    """Texts and targets that share enough distinct n-grams, with these."""
    if not len(met.text):
        return
    order = np.lexsort((met.place, met.gram, met.target, met.text))
    met = _SharedNgrams(*(column[order] for column in met))
    pair = np.ones(len(order), dtype=bool)
    pair[1:] = (met.text[1:] != met.text[:-1]) | (met.target[1:] != met.target[:-1])
    distinct = pair.copy()
    distinct[1:] |= met.gram[1:] != met.gram[:-1]
    starts = np.flatnonzero(pair)
    counts = np.add.reduceat(distinct.astype(np.int64), starts)
    needed = POINTERS * index.own[met.target[starts]] if pointers else np.ones(len(starts))
    ends = np.append(starts[1:], len(order))
    for number in np.flatnonzero(counts >= needed):
        shared = slice(starts[number], ends[number])
        yield (
            int(met.text[starts[number]]),
            int(met.target[starts[number]]),
            _SharedNgrams(*(c[shared] for c in met)),
        )


def _spans(text: str, places: Places, n: int) -> tuple[tuple[int, int], ...]:
    """Spans of the n-grams that begin at `places`, adjacent ones merged."""
    words = word_spans(text)
    covered = np.unique(places[:, None] + np.arange(n))
    breaks = np.flatnonzero(np.diff(covered) > 1) + 1
    return tuple((words[run[0]].start, words[run[-1]].end) for run in np.split(covered, breaks))
