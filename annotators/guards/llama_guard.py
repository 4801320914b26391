"""Llama Guard 3 and 4 (Meta): its chat template holds the policy; replies `safe`, or `unsafe` and a line of category codes."""

import re
from collections.abc import Sequence

from annotators.guards.base import Finding, Guard, exchange

CODES = re.compile(r"S\d{1,2}(?:\s*,\s*S\d{1,2})*")


def parse(replies: Sequence[str]) -> Finding | None:
    """The first non-blank line decides."""
    lines = replies[0].strip().split("\n")
    verdict = lines[0].strip().lower()
    if verdict not in ("safe", "unsafe"):
        return None
    codes = lines[1].strip() if len(lines) > 1 else ""
    return Finding(verdict == "unsafe", detail=codes if CODES.fullmatch(codes) else "")


GUARD = Guard("llama-guard", ("unsafe",), ("reasoning", "answer"), exchange, parse)
