r"""Short answers to arithmetic: the last `\boxed{...}`, else the last number, compared as exact fractions.

Enough for whole numbers, decimals and fractions. Whatever else stands in a box is compared as text, so `x^2+1` against
`1+x^2` is counted as wrong.
"""

import re
from fractions import Fraction

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?")
DECORATION = re.compile(r"\\(?:,|!|;|text\{[^}]*\}|left|right|\$|%)|[$\s]|(?<=\d),(?=\d{3})")
FRACTION = re.compile(r"\\d?frac\{(-?\d+)\}\{(-?\d+)\}")


def final_answer(answer: str) -> str | None:
    """What an answer commits itself to; null when there is nothing to compare."""
    boxed = _last_box(answer)
    if boxed is not None:
        return boxed
    numbers = NUMBER.findall(answer)
    return numbers[-1] if numbers else None


def equal(found: str, reference: str) -> bool:
    """Whether two final answers are the same."""
    a, b = _plain(found), _plain(reference)
    x, y = _number(a), _number(b)
    return x == y if x is not None and y is not None else a == b


def _last_box(text: str) -> str | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    inner = start + len("\\boxed{")
    depth = 1
    for position in range(inner, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[inner:position]
    return None


def _plain(text: str) -> str:
    return DECORATION.sub("", FRACTION.sub(r"\1/\2", text)).rstrip(".")


def _number(text: str) -> Fraction | None:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None
