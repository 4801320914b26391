r"""Short answers to mathematics, compared by math-verify. Only the answer is read, never the chain of thought.

The reference is wrapped in `\boxed{}` before it is parsed, without which a fifth of MATH-500's own answers are not understood.
"""

import re
from threading import current_thread, main_thread
from typing import Any

from schemas.errors import MissingExtraError

SECONDS = 5
"""For one answer; "9^9^9^9" would take for ever."""
SPACED = re.compile(r"(?<=\d)(?:\\[,!;:]|~)(?=\d{3})")
"""A thin space between groups of three digits; math-verify reads two numbers there."""


def final_answer(answer: str) -> list[Any] | None:
    """What an answer commits itself to, parsed: the last box, else the last expression; null when there is nothing."""
    parse, _, _ = _library()
    return parse(SPACED.sub("", answer), parsing_timeout=_seconds()) or None


def equal(found: list[Any], reference: str) -> bool | None:
    """Whether a parsed answer is the reference (a short text such as "3/4" or "x+1"); null if that takes too long to tell."""
    parse, verify, timeout = _library()
    box = f"\\boxed{{{SPACED.sub('', reference.strip().strip('$'))}}}"
    try:
        gold = parse(box, parsing_timeout=_seconds())
        return bool(verify(gold, found, timeout_seconds=_seconds(), raise_on_error=True))
    except (Exception, timeout):  # noqa: BLE001  sympy raises whatever it trips over
        return None


def _seconds() -> int | None:
    """The limit works by a signal, which only the main thread gets."""
    return SECONDS if current_thread() is main_thread() else None


def _library() -> tuple[Any, Any, Any]:
    try:
        import math_verify
        from math_verify.errors import TimeoutException
    except ImportError as error:
        raise MissingExtraError("math-verify", "train") from error
    return math_verify.parse, math_verify.verify, TimeoutException
