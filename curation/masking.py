"""Masks harmful details of texts for display.

The structure of a chain of thought is in its common words (but, could, refuse, instead), its details are in all others. So
`mask_words` keeps a list of common English words (plain_words.txt) and masks every other word, number and code.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Any

BLOT = "▒"
NAME = re.compile(r"[\w.:@/+-]{0,80}", re.ASCII)
"""Ids, names and labels: what is shown of a query's result as it is."""
SHOWN = 80
"""Characters of a text in a table."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|_")


def mask(text: str, hint: str = "") -> str:
    """A text's length instead of the text."""
    return f"[masked: {len(text)} characters{hint}]"


def mask_words(text: str) -> str:
    """`text` with every uncommon word masked; of the same length, so that offsets stay valid."""
    plain = plain_words()

    def blot(word_match: re.Match[str]) -> str:
        word = word_match[0]
        return word if word.lower().replace("’", "'") in plain else BLOT * len(word)

    return _WORD.sub(blot, text)


def mask_value(value: Any) -> Any:
    """A value of a query's result: numbers and names as they are, the beginning of every other text through `mask_words`."""
    if isinstance(value, dict):
        return {name: mask_value(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [mask_value(inner) for inner in value]
    if isinstance(value, bytes):
        return f"[masked: {len(value)} bytes]"
    if not isinstance(value, str) or NAME.fullmatch(value):
        return value
    shown = mask_words(value[: 2 * SHOWN])[:SHOWN]
    return f"{shown}... ({len(value):,} characters)" if len(value) > SHOWN else shown


@cache
def plain_words() -> frozenset[str]:
    """Common words that reveal nothing about the request."""
    return frozenset((files("curation") / "plain_words.txt").read_text(encoding="utf-8").split())
