"""An answer as the classifier reads it: its first and last sentences, those with a cue between, and what the cue banks find in each.

Quotations, code and delivered pieces are blanked, as for the rules: a refusal in them is somebody else's.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from operator import ne
from typing import NamedTuple

from annotators.embedding.reading import Sentence, sentences
from annotators.rules.bank import bank
from annotators.rules.own_words import own_words
from annotators.rules.reading import Numbers, Reading

SEEKING = ("refuse", "decline")
"""Cues of refusing, of either bank."""
HEAD, TAIL, BETWEEN = 8, 6, 6
"""Sentences that are read of a long answer: models refuse at either end; of those between, the first with a cue of refusing."""
CUES = {
    "answer": ("apologise", "comply", "condole", "lawful", "pardon", "reason", "refuse", "steps"),
    "overrefusal": ("aside", "decline", "empty", "turn"),
}
"""By cue bank; each is one feature of a sentence."""
LEAST_LATIN = 0.8
"""Share of letters that are Latin."""
UNKNOWN = 8
"""Words without a known function word that a text may have and still count as English."""
WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


class Stretch(NamedTuple):
    """A stretch of an answer that is read at once."""

    text: str
    start: int
    """Its first code point in the answer."""
    first: int
    """The number of its first sentence."""


class OwnWords(NamedTuple):
    """What an answer says in its own words."""

    size: int
    """How many sentences there are."""
    parts: tuple[Stretch, ...]
    cues: dict[str, Numbers]
    """The sentences in which a cue occurs."""
    pardoned: Numbers
    """Sentences that only sound like a refusal ("I can't wait"), and those that are mostly quoted or delivered."""


def read(answer: str) -> OwnWords:
    """Read an answer; without sentences there are no parts."""
    own = own_words(answer)
    found = list(sentences(own, "answer"))
    readings = {name: Reading("answer", own, bank(name)) for name in CUES}
    cues = {cue: readings[name].having(cue) for name, several in CUES.items() for cue in several}
    seeking = frozenset[int]().union(*(cues[cue] for cue in SEEKING))
    pardoned = cues["pardon"] - readings["answer"].outnumbering("refuse", "pardon")
    pardoned |= _somebody_elses(own, answer, found) - seeking
    between = sorted(seeking)
    middle = [number for number in between if HEAD <= number < len(found) - TAIL][:BETWEEN]
    wanted = sorted({*range(min(HEAD, len(found))), *middle, *range(max(0, len(found) - TAIL), len(found))})
    return OwnWords(len(found), tuple(_stretches(own, found, wanted)), cues, pardoned)


def _somebody_elses(own: str, answer: str, found: Sequence[Sentence]) -> Numbers:
    """The sentences of which the larger part is blanked."""
    return frozenset(
        number
        for number, (_, start, end, _) in enumerate(found)
        if sum(map(ne, own[start:end], answer[start:end])) * 2 > end - start
    )


def _stretches(own: str, found: Sequence[Sentence], wanted: Sequence[int]) -> Iterator[Stretch]:
    """The wanted sentences, those that follow each other together."""
    for _, run in groupby(enumerate(wanted), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in run]
        start = found[numbers[0]].start if numbers[0] else 0
        last = numbers[-1] + 1
        yield Stretch(own[start : found[last].start if last < len(found) else len(own)], start, numbers[0])


def beyond_reach(answer: str) -> str:
    """Why the classifier cannot judge an answer, "" if it can: it has learned from English alone."""
    letters = [letter for letter in answer if letter.isalpha()]
    if not letters:
        return "the answer has no words"
    if sum(letter < "\u0250" for letter in letters) < LEAST_LATIN * len(letters):
        return "the answer is not in English: another script"
    words = [word.lower().replace("’", "'") for word in WORDS.findall(own_words(answer))]
    english, other = (sum(word in known for word in words) for known in _function_words())
    if other > english or (not english and len(words) > UNKNOWN and not answer.isascii()):
        return "the answer is not in English"
    return ""


@cache
def _function_words() -> tuple[frozenset[str], ...]:
    text = (files("annotators.refusals") / "function_words.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(frozenset(line.split()) for line in lines)
