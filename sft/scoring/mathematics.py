r"""Short answers to math problems, compared by math-verify. Only the answer is read, never the chain of thought.

The reference is wrapped in `\boxed{}` before parsing; without it a fifth of MATH-500's own answers do not parse.
"""

import re
from threading import current_thread, main_thread
from typing import Any

from schemas.errors import MissingExtraError

SECONDS = 5
"""Time limit per answer; "9^9^9^9" would never end."""
SPACED = re.compile(r"(?<=\d)(?:\\[,!;:]|~)(?=\d{3})")
"""A thin space between groups of three digits; math-verify would read two numbers."""


def final_answer(answer: str) -> list[Any] | None:
    """The final answer, parsed: the last box, else the last expression; null if there is none."""
    parse, _, _ = _library()
    return parse(SPACED.sub("", answer), parsing_timeout=_seconds()) or None


def equal(answer: list[Any], reference: str) -> bool | None:
    """Whether a parsed answer equals the reference (a short text such as "3/4" or "x+1"); null on a timeout."""
    parse, verify, timeout = _library()
    box = f"\\boxed{{{SPACED.sub('', reference.strip().strip('$'))}}}"
    try:
        gold = parse(box, parsing_timeout=_seconds())
        return bool(verify(gold, answer, timeout_seconds=_seconds(), raise_on_error=True))
    except (Exception, timeout):  # noqa: BLE001  sympy raises whatever it trips over
        return None


def _seconds() -> int | None:
    """The time limit uses a signal, which only the main thread receives."""
    return SECONDS if current_thread() is main_thread() else None


def _library() -> tuple[Any, Any, Any]:
    try:
        import math_verify
        from math_verify.errors import TimeoutException
    except ImportError as error:
        raise MissingExtraError("math-verify", "train") from error
    return math_verify.parse, math_verify.verify, TimeoutException
