"""An answer as the classifier reads it: the sentences of its first and last part, and what the cue banks find in each.

Quotations, code and delivered pieces are blanked, as for the rules: a refusal in them is somebody else's.
"""

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from annotators.embedding.reading import sentences
from annotators.rules.bank import bank
from annotators.rules.own_words import own_words, unquoted
from annotators.rules.reading import Numbers, Reading

HEAD, TAIL = 8, 6
"""Sentences that are read of a long answer: models refuse at either end."""
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
    """Sentences that only sound like a refusal ("I can't wait")."""


def read(answer: str) -> OwnWords:
    """Read an answer; without sentences there are no parts."""
    own = without_quotations(answer)
    found = list(sentences(own, "answer"))
    readings = {name: Reading("answer", own, bank(name)) for name in CUES}
    cues = {cue: readings[name].having(cue) for name, several in CUES.items() for cue in several}
    pardoned = cues["pardon"] - readings["answer"].outnumbering("refuse", "pardon")
    if len(found) <= HEAD + TAIL:
        parts = [Stretch(own, 0, 0)] if found else []
    else:
        tail = found[-TAIL].start
        parts = [Stretch(own[: found[HEAD].start], 0, 0), Stretch(own[tail:], tail, len(found) - TAIL)]
    return OwnWords(len(found), tuple(parts), cues, pardoned)


def without_quotations(answer: str) -> str:
    """The answer's own words; an answer that is one quotation as a whole is read as it is.

    The rules also read two words and a quotation whole ("Write back: ..."); here these two make it somebody else's.
    """
    own = own_words(answer)
    if own == answer:
        own = unquoted(answer)
    return own if any(letter.isalnum() for letter in own) else answer


def beyond_reach(answer: str) -> str:
    """Why the classifier cannot judge an answer, "" if it can: it has learned from English alone."""
    letters = [letter for letter in answer if letter.isalpha()]
    if not letters:
        return "the answer has no words"
    if sum(letter < "\u0250" for letter in letters) < LEAST_LATIN * len(letters):
        return "the answer is not in English: another script"
    words = [word.lower().replace("’", "'") for word in WORDS.findall(without_quotations(answer))]
    english, other = (sum(word in known for word in words) for known in _function_words())
    if other > english or (not english and len(words) > UNKNOWN and not answer.isascii()):
        return "the answer is not in English"
    return ""


@cache
def _function_words() -> tuple[frozenset[str], ...]:
    text = (files("annotators.refusals") / "function_words.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(frozenset(line.split()) for line in lines)
