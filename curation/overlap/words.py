"""Words of many texts as 64-bit hashes, fast: what deduplication and decontamination compare.

A word is a sequence of letters, digits and marks in lower case, composed (NFC); each Han, Hiragana or Katakana character is one. It works
on the UTF-8 bytes of a whole Arrow array at once, eight bytes of each word at a time, some hundred times faster than
splitting in Python; only rows in scripts that need full Unicode rules take the slow path. `word_spans` gives the same words of
one text with their offsets.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import regex

_WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}]|[[\p{L}\p{N}\p{M}]--[\u0080-\u00BF\u2000-\u2BFF\uFE00-\uFE3F\U0001F000-\U0001FFFF\p{Han}\p{Hiragana}\p{Katakana}]]+",
    regex.V1,
)
Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Places = np.ndarray[Any, np.dtype[np.int64]]

_K1, _K2, _K3 = (np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class Words(NamedTuple):
    """The words of some texts, concatenated."""

    hashes: Hashes
    """One per word."""
    offsets: Places
    """Row r has the words [offsets[r], offsets[r + 1])."""


class WordSpan(NamedTuple):
    """Offsets of a word in its text, in code points."""

    start: int
    end: int


def word_spans(text: str) -> list[WordSpan]:
    """The offsets of the words of one text, as in `hash_words`."""
    return [WordSpan(*match.span()) for match in _WORD.finditer(text)]


def plain_words(text: str) -> list[str]:
    """The words of one text, normalised."""
    return [unicodedata.normalize("NFC", word.lower()) for word in _WORD.findall(text)]


def hash_words(texts: "pa.Array | Sequence[str]") -> Words:
    """Hash every word of every text (no nulls)."""
    array = texts if isinstance(texts, pa.Array) else pa.array(list(texts), pa.string())
    data, offsets = _simplified(array.cast(pa.large_string()))
    kinds = _letters(data)
    first = np.zeros(len(kinds) + 1, dtype=bool)
    first[offsets[:-1]] = True
    inside = kinds != 0
    before = np.empty_like(inside)
    before[:1], before[1:] = False, inside[:-1]
    starts = np.flatnonzero(inside & (~before | first[:-1]))
    after = np.empty_like(inside)
    after[-1:], after[:-1] = False, inside[1:]
    ends = np.flatnonzero(inside & (~after | first[1:])) + 1
    return Words(
        _hash_slices(kinds, starts, ends - starts), np.searchsorted(starts, offsets).astype(np.int64)
    )


def ngrams(words: Words, n: int, short: bool = True) -> Words:
    """Hash every word n-gram within a row; with `short`, a row of fewer words gives one n-gram of all its words."""
    counts = np.diff(words.offsets)
    many = np.maximum(counts - n + 1, 0)
    lone = (counts > 0) & (counts < n) if short else np.zeros(len(counts), dtype=bool)
    offsets = np.concatenate([[0], np.cumsum(many + lone)]).astype(np.int64)
    hashes = np.empty(offsets[-1], dtype=np.uint64)
    runs = ngram_hashes(words.hashes, n)
    valid = np.repeat(many > 0, counts)
    places = np.arange(len(words.hashes)) - np.repeat(words.offsets[:-1], counts)
    valid &= places < np.repeat(many, counts)
    target = np.repeat(offsets[:-1], counts) + places
    hashes[target[valid]] = runs[np.flatnonzero(valid)]
    for length in np.unique(counts[lone]):
        rows = np.flatnonzero(lone & (counts == length))
        hashes[offsets[rows]] = ngram_hashes(words.hashes, int(length))[words.offsets[rows]]
    return Words(hashes, offsets)


def ngram_hashes(hashes: Hashes, n: int) -> Hashes:
    """Hash the n-gram starting at each word, also across rows; without the last n - 1."""
    count = max(len(hashes) - n + 1, 0)
    sums = np.zeros(count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for step in range(n):
            sums += hashes[step : step + count] * _odd(step)
        return _mixed(sums + np.uint64(n))


def _odd(step: int) -> np.uint64:
    return np.uint64(
        (0x9E3779B97F4A7C15 * (2 * step + 1) ^ (0xD1342543DE82EF95 * (step + 1) << 1)) & 0xFFFFFFFFFFFFFFFF
        | 1
    )


def _simplified(array: pa.LargeStringArray) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], Places]:
    """The bytes of the texts and the offsets of their rows; rows in scripts the byte rules do not know are normalised first."""
    data, offsets = _buffers(array)
    if not (data >= 0x80).any():
        return data, offsets
    hard = np.unique(np.searchsorted(offsets, _hard_places(data), side="right") - 1)
    if not len(hard):
        return data, offsets
    rows = array.to_pylist()
    for row in hard:
        rows[row] = " ".join(plain_words(rows[row]))
    return _buffers(pa.array(rows, pa.large_string()))


def _hard_places(data: np.ndarray[Any, np.dtype[np.uint8]]) -> Places:
    """Where characters start whose case, composition or class the rules of `_letters` do not know."""
    places = np.flatnonzero(data >= 0xC4)
    lead, second = data[places], data[np.minimum(places + 1, len(data) - 1)]
    known = np.zeros(len(places), dtype=bool)
    for sign, low, high, _ in _SIGNS:
        known |= (lead == sign) & (second >= low) & (second <= high)
    return places[~known]


def _buffers(array: pa.LargeStringArray) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], Places]:
    _, places, data = array.buffers()
    offsets = np.frombuffer(places, np.int64)[array.offset : array.offset + len(array) + 1]
    whole = np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
    return whole[offsets[0] : offsets[-1]], offsets - offsets[0]


def _letters(data: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The bytes in lower case, with 0 for every byte that is not of a word."""
    kinds = _TABLE[data]
    if not (data >= 0x80).any():
        return kinds
    for lead, low, high, length in _SIGNS:
        places = np.flatnonzero(data[:-1] == lead)
        places = places[(data[places + 1] >= low) & (data[places + 1] <= high)]
        for step in range(length):
            kinds[places + step] = 0
    second = np.flatnonzero(data == 0xC3) + 1  # Latin letters with accents, and × and ÷ among them
    letter = data[second]
    kinds[second] = np.where((letter <= 0x9E) & (letter != 0x97), letter + 0x20, letter)
    signs = second[(letter == 0x97) | (letter == 0xB7)]
    kinds[signs] = kinds[signs - 1] = 0
    return kinds


_SIGNS = ((0xC2, 0x80, 0xBF, 2), (0xE2, 0x80, 0xAF, 3), (0xEF, 0xB8, 0xB8, 3), (0xF0, 0x9F, 0x9F, 4))
"""Punctuation, symbols and emoji: first byte, range of the second, and length in UTF-8."""


def _table() -> np.ndarray[Any, np.dtype[np.uint8]]:
    table = np.zeros(256, np.uint8)
    for code in range(256):
        if code >= 0x80 or chr(code).isalnum():
            table[code] = ord(chr(code).lower()) if code < 0x80 else code
    return table


_TABLE = _table()


def _hash_slices(data: np.ndarray[Any, np.dtype[np.uint8]], starts: Places, lengths: Places) -> Hashes:
    """Hash the bytes [start, start + length), eight at a time."""
    padded = np.concatenate([data, np.zeros(8, np.uint8)])
    eights = np.ndarray((len(data) + 1,), "<u8", padded, strides=(1,))
    with np.errstate(over="ignore"):
        hashes = _mixed(_masked(eights[starts], lengths) ^ (lengths.astype(np.uint64) * _K1))
        rest = np.flatnonzero(lengths > 8)
        done = 8
        while len(rest):
            block = _masked(eights[starts[rest] + done], lengths[rest] - done)
            hashes[rest] = _mixed(hashes[rest] * _K2 + block)
            done += 8
            rest = rest[lengths[rest] > done]
    return hashes


_MASKS = np.array([(1 << 8 * n) - 1 for n in range(8)] + [2**64 - 1], np.uint64)


def _masked(eights: Hashes, lengths: Places) -> Hashes:
    return eights & _MASKS[np.minimum(lengths, 8)]


def _mixed(values: Hashes) -> Hashes:
    """Spread every bit over all (the last steps of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * _K2
    values = (values ^ (values >> np.uint64(27))) * _K3
    return values ^ (values >> np.uint64(31))
