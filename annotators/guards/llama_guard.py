"""Llama Guard 3 and 4 (Meta): its chat template holds the policy; replies `safe`, or `unsafe` and a line of category codes."""

import re
from collections.abc import Sequence

from annotators.guards.base import Finding, GradedWord, Guard, exchange, first_word, plain

CATEGORIES = tuple(f"S{n}" for n in range(1, 15))
LISTED = re.compile(r"\W*\w+\W+((?:[A-Z]\d{1,3}\b[^\n]*\s*)+)", re.IGNORECASE)
"""The lines right behind the verdict that begin with a code."""
CODE = re.compile(r"\b[A-Z]\d{1,3}\b", re.IGNORECASE)
BRACKETED = re.compile(r"\([^)\n]*\)")


def parse(replies: Sequence[str]) -> Finding | None:
    """The first word decides; codes count only right behind it."""
    unsafe = first_word(replies[0], {"unsafe": True, "safe": False})
    if unsafe is None:
        return None
    listed = LISTED.match(plain(replies[0])) if unsafe else None
    lines = BRACKETED.sub("", listed[1]) if listed else ""
    codes = tuple(code.upper() for code in CODE.findall(lines))
    words = any(item.strip() and not CODE.match(item.strip()) for item in re.split(r"[,\n]", lines))
    known = tuple(code for code in codes if code in CATEGORIES)
    return Finding(
        unsafe, detail=", ".join(codes), categories=known, unlisted=words or len(known) < len(codes)
    )


GUARD = Guard(
    "llama-guard", ("unsafe",), ("reasoning", "answer"), exchange, parse, categories=CATEGORIES,
    unsafe_word=GradedWord("", {"unsafe": 1.0, "safe": 0.0}),
)  # fmt: skip
