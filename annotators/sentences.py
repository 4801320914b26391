"""Sentences of a text, by offsets, fast and for many scripts.

Works on UTF-8 bytes, since the cue engine does too; line breaks always end a sentence, because reasoning is full of
lists whose items carry no full stop.
"""

import re
from bisect import bisect_right
from typing import NamedTuple

# A stop with its closing quotes and the white space behind it, or a line break. Both patterns start with a set of
# bytes, which is what makes `re` fast here; whether there is white space is looked at afterwards.
_LATIN_END = re.compile(rb"[.!?\n][.!?\"')\]*\s]*")
# Also curly quotes, and the stops of Chinese, Devanagari and Arabic, which need no space.
_ANY_END = re.compile(
    rb"[.!?\n](?:[.!?\"')\]*\s]|\xe2\x80[\x99\x9d])*"
    rb"|[\xe3\xef\xe0\xd8](?:(?<=\xe3)\x80\x82|(?<=\xef)\xbc[\x81\x9f]|(?<=\xe0)\xa5\xa4|(?<=\xd8)\x9f)"
    rb"(?:\xe2\x80[\x99\x9d]|\s)*"
)
_NOT_AN_END = frozenset((b"e.g", b"i.e", b"vs", b"Mr", b"Mrs", b"Ms", b"Dr", b"St"))
FULL_STOP = ord(".")
WHITE_SPACE = frozenset(b" \t\n\r\f\v")


class Sentences(NamedTuple):
    """Where the sentences of a text start and end, in bytes of its UTF-8 form."""

    starts: list[int]
    ends: list[int]

    def index_of(self, offset: int) -> int:
        """The sentence that holds a byte offset (whitespace belongs to the sentence before it)."""
        return bisect_right(self.starts, offset) - 1 if offset else 0


def split(data: bytes) -> Sentences:
    """Split UTF-8 text into sentences; there are none in blank text."""
    starts, ends = [], []
    start = len(data) - len(data.lstrip())
    for match in (_LATIN_END if data.isascii() else _ANY_END).finditer(data):
        at, behind = match.span()
        first = data[at]
        if first < 128 and data[behind - 1] not in WHITE_SPACE:
            continue
        if first == FULL_STOP and _abbreviated(data, at):
            continue
        if at > start:
            starts.append(start)
            ends.append(at + len(match[0].rstrip()))
        start = behind
    if start < len(data):
        starts.append(start)
        ends.append(len(data.rstrip()))
    return Sentences(starts, ends)


def _abbreviated(data: bytes, at: int) -> bool:
    word = data[max(0, at - 6) : at].rpartition(b" ")[2]
    return word.lstrip(b"(\"'") in _NOT_AN_END
