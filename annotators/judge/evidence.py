"""Find the words that a judge quotes: exactly, or with the small slips that models make when they copy; else not at all.

The surprise: most quotes that cannot be found exactly differ in quotation marks, dashes, case or white space, so texts
are compared as words; what is left are dropped or changed words, of which one in five is forgiven.
"""

import re
from typing import NamedTuple

FORGIVEN = 0.2
"""Share of a quote's words that may be missing, added or changed."""
LEAST_WORDS = 2
"""A shorter quote shows nothing."""
LEAST_FUZZY = 5
"""A shorter quote must be there word for word."""
LONGEST = 120
"""Words of a quote that are looked at, so that a long quote in a long text stays cheap."""
# A Han, kana or Hangul character is a word of its own: these scripts put no spaces where a quote may begin.
_SPACELESS = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
WORD = re.compile(rf"[{_SPACELESS}]|[^\W_{_SPACELESS}]+(?:['’][^\W_{_SPACELESS}]+)*")
ELLIPSIS = re.compile(r"\s*(?:\[?\.\.\.\]?|\[?…\]?)\s*")


class Place(NamedTuple):
    """Where a quote stands: code points [start, end) of the text."""

    start: int
    end: int


def locate(quote: str, text: str) -> list[Place]:
    """Where a quote stands in a text: one place, or one per piece where the quote leaves words out with an ellipsis.

    Returns:
        The places in order; none if the quote, or one of its pieces, is not in the text.
    """
    whole = _locate_piece(quote, text)
    if whole:
        return [whole]
    pieces = [piece for piece in ELLIPSIS.split(quote) if piece.strip()]
    if len(pieces) < 2:
        return []
    found: list[Place] = []
    for piece in pieces:
        offset = found[-1].end if found else 0
        place = _locate_piece(piece, text[offset:])
        if place is None:
            return []
        found.append(Place(place.start + offset, place.end + offset))
    return found


def _locate_piece(quote: str, text: str) -> Place | None:
    wanted = _words(quote)
    if len(wanted) < LEAST_WORDS:
        return None
    stripped = quote.strip()
    start = text.find(stripped)
    if start >= 0:
        return Place(start, start + len(stripped))
    there = _words(text)
    span = _same_words(wanted, there) or _similar_words(wanted[:LONGEST], there)
    return Place(there[span[0]][1], there[span[1] - 1][2]) if span else None


_Word = tuple[str, int, int]


def _words(text: str) -> list[_Word]:
    return [(match[0].replace("’", "'").casefold(), *match.span()) for match in WORD.finditer(text)]


def _same_words(wanted: list[_Word], there: list[_Word]) -> tuple[int, int] | None:
    """The first run of words in the text that is the quote, word for word; [first, last + 1)."""
    plain, first = [word for word, _, _ in wanted], wanted[0][0]
    for start in range(len(there) - len(plain) + 1):
        if there[start][0] == first and [w for w, _, _ in there[start : start + len(plain)]] == plain:
            return start, start + len(plain)
    return None


def _similar_words(wanted: list[_Word], there: list[_Word]) -> tuple[int, int] | None:
    """The run of words that needs the fewest changes to become the quote, if these are few (Sellers 1980)."""
    if len(wanted) < LEAST_FUZZY or not there:
        return None
    # For each word of the text: the changes of the best run that ends there, and where that run starts.
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
    ):  # the same slips, and more of the quote is there
        end += 1
    if costs[end] > FORGIVEN * len(wanted) or starts[end] >= end:
        return None
    return starts[end], end
