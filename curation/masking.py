"""Masks: what is shown of a text when its harmful detail must not be.

The shape of a chain of thought is in its plain words (but, could, refuse, instead); its detail is in all the others. So
`mask_words` keeps a list of plain English words (plain_words.txt) and blots out every other word, number and code.
"""

import re
from functools import cache
from importlib.resources import files

BLOT = "▒"
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|_")


def mask(text: str, hint: str = "") -> str:
    """A text's length instead of the text."""
    return f"[masked: {len(text)} characters{hint}]"


def mask_words(text: str) -> str:
    """`text` with every word that is not a plain one blotted out; as long as before, so that offsets still hold."""
    plain = plain_words()

    def blot(word_match: re.Match[str]) -> str:
        word = word_match[0]
        return word if word.lower().replace("’", "'") in plain else BLOT * len(word)

    return _WORD.sub(blot, text)


@cache
def plain_words() -> frozenset[str]:
    """The words that say nothing about what is asked for."""
    return frozenset((files("curation") / "plain_words.txt").read_text(encoding="utf-8").split())
