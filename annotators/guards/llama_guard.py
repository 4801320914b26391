"""Llama Guard 3 and 4 (Meta): its chat template holds the policy; replies `safe`, or `unsafe` and a line of category codes."""

import re
from collections.abc import Sequence

from annotators.guards.base import Finding, GradedWord, Guard, exchange, first_word, plain

CODES = re.compile(r"\W*\w+\W+(S\d{1,2}(?:[\s,]+S\d{1,2})*)\b", re.IGNORECASE)


def parse(replies: Sequence[str]) -> Finding | None:
    """The first word decides; codes count only right behind it."""
    unsafe = first_word(replies[0], {"unsafe": True, "safe": False})
    if unsafe is None:
        return None
    codes = CODES.match(plain(replies[0])) if unsafe else None
    return Finding(unsafe, detail=", ".join(codes[1].upper().replace(",", " ").split()) if codes else "")


GUARD = Guard(
    "llama-guard", ("unsafe",), ("reasoning", "answer"), exchange, parse,
    unsafe_word=GradedWord("", {"unsafe": 1.0, "safe": 0.0}),
)  # fmt: skip
