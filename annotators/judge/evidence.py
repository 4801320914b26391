"""Locates a judge's quotes in a text: exactly, or approximately, with the small copying errors that models make.

The surprise: most quotes without an exact match differ only in quotation marks, dashes, case or white space, so texts are
compared word by word; of the remaining dropped or changed words one in five is tolerated.
"""

import re
from typing import NamedTuple

MAX_ERROR_RATE = 0.2
"""Share of a quote's words that may be missing, added or changed."""
LEAST_WORDS = 2
"""A shorter quote is no evidence."""
LEAST_FUZZY = 5
"""A shorter quote must match word for word."""
LONGEST = 120
"""Words of a quote that are compared, so that a long quote in a long text stays cheap."""
# A Han, kana or Hangul character is a word of its own: these scripts put no spaces where a quote may begin.
_SPACELESS = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
WORD = re.compile(rf"[{_SPACELESS}]|[^\W_{_SPACELESS}]+(?:['’][^\W_{_SPACELESS}]+)*")
ELLIPSIS = re.compile(r"\s*(?:\[?\.\.\.\]?|\[?…\]?)\s*")


class QuoteMatch(NamedTuple):
    """Where a quote was found: code points [start, end) of the text."""

    start: int
    end: int


def locate(quote: str, text: str) -> list[QuoteMatch]:
    """Locate a quote in a text: one match, or one per piece if the quote omits words with an ellipsis.

    Returns:
        The matches in order; none if the quote, or one of its pieces, is not in the text.
    """
    whole = _locate_piece(quote, text)
    if whole:
        return [whole]
    pieces = [piece for piece in ELLIPSIS.split(quote) if piece.strip()]
    if len(pieces) < 2:
        return []
    quoted: list[QuoteMatch] = []
    for piece in pieces:
        offset = quoted[-1].end if quoted else 0
        place = _locate_piece(piece, text[offset:])
        if place is None:
            return []
        quoted.append(QuoteMatch(place.start + offset, place.end + offset))
    return quoted


def _locate_piece(quote: str, text: str) -> QuoteMatch | None:
    wanted = _words(quote)
    if len(wanted) < LEAST_WORDS:
        return None
    stripped = quote.strip()
    start = text.find(stripped)
    if start >= 0:
        return QuoteMatch(start, start + len(stripped))
    there = _words(text)
    span = _same_words(wanted, there) or _similar_words(wanted[:LONGEST], there)
    return QuoteMatch(there[span[0]][1], there[span[1] - 1][2]) if span else None


_Word = tuple[str, int, int]


def _words(text: str) -> list[_Word]:
    return [(match[0].replace("’", "'").casefold(), *match.span()) for match in WORD.finditer(text)]


def _same_words(wanted: list[_Word], there: list[_Word]) -> tuple[int, int] | None:
    """The first word sequence of the text that equals the quote; [first, last + 1)."""
    plain, first = [word for word, _, _ in wanted], wanted[0][0]
    for start in range(len(there) - len(plain) + 1):
        if there[start][0] == first and [w for w, _, _ in there[start : start + len(plain)]] == plain:
            return start, start + len(plain)
    return None


def _similar_words(wanted: list[_Word], there: list[_Word]) -> tuple[int, int] | None:
    """The word sequence with the smallest edit distance to the quote, if that is within tolerance (Sellers 1980)."""
    if len(wanted) < LEAST_FUZZY or not there:
        return None
    # For each word of the text: the distance of the best sequence that ends there, and where it starts.
    costs, starts = [0] * (len(there) + 1), list(range(len(there) + 1))
    for row, (word, _, _) in enumerate(wanted, 1):
        above, above_starts = costs, starts
        costs, starts = [row], [0]
        for at, (other, _, _) in enumerate(there):
            best = above[at] + (word != other), above_starts[at]
            if above[at + 1] + 1 < best[0]:
                best = above[at + 1] + 1, above_starts[at + 1]
            if costs[at] + 1 < best[0]:
                best = costs[at] + 1, starts[at]
            costs.append(best[0])
            starts.append(best[1])
    end = min(range(len(costs)), key=costs.__getitem__)
    while (
        end + 1 < len(costs) and costs[end + 1] == costs[end]
    ):  # same distance, and covers more of the quote
        end += 1
    if costs[end] > MAX_ERROR_RATE * len(wanted) or starts[end] >= end:
        return None
    return starts[end], end
