"""Splits text into sentences by offset, fast and for many scripts.

Works on UTF-8 bytes, as the cue matcher does; a line break always ends a sentence, because reasoning is full of lists whose
items have no full stop.
"""

import re
from bisect import bisect_right
from typing import NamedTuple

# A stop with its closing quotes and the white space behind it, or a line break. Both patterns start with a set of
# bytes, which is what makes `re` fast here.
_LATIN_END = re.compile(rb"[.!?\n][.!?\"')\]*\s]*(?<=\s)")
# Also curly quotes, and the stops of Chinese, Devanagari and Arabic, which need no space.
_ANY_END = re.compile(
    rb"[.!?\n](?:[.!?\"')\]*\s]|\xe2\x80[\x99\x9d])*(?<=\s)"
    rb"|[\xe3\xef\xe0\xd8](?:(?<=\xe3)\x80\x82|(?<=\xef)\xbc[\x81\x9f]|(?<=\xe0)\xa5\xa4|(?<=\xd8)\x9f)"
    rb"(?:\xe2\x80[\x99\x9d]|\s)*"
)
_NOT_AN_END = frozenset((b"e.g", b"i.e", b" vs", b" Mr", b"Mrs", b" Ms", b" Dr", b" St"))
"""The last three bytes before a stop that does not end a sentence."""


class Sentences(NamedTuple):
    """Byte offsets of the sentences of a text in UTF-8."""

    data: bytes
    starts: list[int]

    def end(self, number: int) -> int:
        """Where a sentence ends, without trailing white space."""
        following = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.data)
        return self.starts[number] + len(self.data[self.starts[number] : following].rstrip())

    @property
    def ends(self) -> list[int]:
        """Where each sentence ends."""
        return [self.end(number) for number in range(len(self.starts))]

    def index_of(self, offset: int) -> int:
        """The sentence that contains a byte offset (white space belongs to the sentence before it)."""
        return bisect_right(self.starts, offset) - 1 if offset else 0


def split(data: bytes) -> Sentences:
    """Split UTF-8 text into sentences; there are none in blank text."""
    first = len(data) - len(data.lstrip())
    if first == len(data):
        return Sentences(data, [])
    ends = (_LATIN_END if data.isascii() else _ANY_END).finditer(data, first)
    starts = [first]
    starts += [end.end() for end in ends if data[end.start() - 3 : end.start()] not in _NOT_AN_END]
    if starts[-1] == len(data):
        starts.pop()
    return Sentences(data, starts)
