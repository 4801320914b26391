r"""Numbers and number bases of short answers, compared exactly.

math-verify rounds to six decimals and drops bases, so that it takes `.0000672` for `.0000673` and `4343_6` for `4343_7`.
"""

import re
from fractions import Fraction
from typing import Literal

Verdict = Literal["same", "different", "unclear"]
"""Of two short answers; a reader returns None for what it does not read."""

DIGITS = 6
"""A decimal with this many significant digits may stand for a number that it rounds."""
_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d*)?"
_NUMBER = re.compile(
    rf"^(?P<sign>[+-]?)\s*(?:(?P<whole>\d+)(?:\s*(?=\\frac)|\s+(?=\d+\s*/)))?(?:\\frac\s*(?P<fraction>.+)"
    rf"|(?P<top>{_DECIMAL})(?:\s*/\s*(?P<bottom>\d+))?(?:\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*\{{?\s*(?P<power>[+-]?\d+)\s*\}}?|[eE](?P<e>[+-]?\d+))?)$"
)
_REPEATING = re.compile(r"^([+-]?)(\d*)\.(\d*)(?:\\(?:overline|bar|dot)\s*\{?\s*(\d+)\s*\}?|\((\d+)\))$")
_CLOCK = re.compile(
    r"^(\d{1,2})\s*:\s*([0-5]\d)\s*(?:\\text\s*\{)?\s*(?:([ap])\.?\s*m\b\.?)?\s*\}?$", re.IGNORECASE
)
_FRACTION = re.compile(r"^(?:\{\s*(-?\d+)\s*\}|(\d))\s*(?:\{\s*(-?\d+)\s*\}|(\d+))$")
_BASED = re.compile(
    r"^([0-9A-Za-z]+)\s*(?:_\s*\{?\s*\(?(?:\\text\s*\{)?\s*(?:base\s+)?(\w+)\s*\}?\s*\)?\s*\}?"
    r"|(?:\\text\s*\{)?\s*\(?\s*(?:in )?base[- ]\s*(\w+)\s*\)?\s*\}?)$"
)
_BASE_NAMES = {
    name: base
    for base, name in enumerate(
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"], start=2
    )
} | {"binary": 2, "octal": 8, "hexadecimal": 16, "sixteen": 16}


def number(text: str) -> Fraction | None:
    """The exact value of a decimal, a fraction, a mixed number or one in scientific notation; null for anything else."""
    match = _NUMBER.match(text.strip())
    if not match:
        return _repeating(text.strip())
    value = _fraction(match["fraction"]) if match["fraction"] else _decimal(match["top"], match["bottom"])
    if value is None:
        return None
    power = int(match["power"] or match["e"] or 0)
    if abs(power) > 400:
        return None
    value = (value + int(match["whole"] or 0)) * Fraction(10) ** power
    return -value if match["sign"] == "-" else value


def compare_numbers(answer: str, gold: str) -> Verdict | None:
    """Compare two numbers; a decimal of six significant digits may round a value that has more."""
    mine, wanted = number(answer), number(gold)
    if mine is None or wanted is None:
        return None
    if mine == wanted or _rounds(answer, mine, wanted):
        return "same"
    return "different"


def compare_clocks(answer: str, gold: str) -> Verdict | None:
    """Compare times of day ("3:30", "3:30 p.m."), which are no ratios; one half of the day may be left out."""
    mine, wanted = _CLOCK.match(answer.strip()), _CLOCK.match(gold.strip())
    if mine is None or wanted is None:
        return None
    halves = {match[3].lower() for match in (mine, wanted) if match[3]}
    times = [(int(match[1]), int(match[2])) for match in (mine, wanted)]
    return "same" if times[0] == times[1] and len(halves) < 2 else "different"


def compare_bases(answer: str, gold: str) -> Verdict | None:
    r"""Compare numbers if at least one names its base (`4343_6`, `4343_{\text{six}}`, "4343 base 6")."""
    mine, wanted = _based(answer), _based(gold)
    if mine is None and wanted is None:
        return None
    if mine and wanted:
        same = _digits(mine) == _digits(wanted), mine[1] == wanted[1]
        if all(same):
            return "same"
        return "unclear" if _value(mine) is not None and _value(mine) == _value(wanted) else "different"
    based, plain = (mine, gold) if mine else (wanted, answer)
    assert based is not None
    if based[1] == 10:
        return compare_numbers(based[0], plain)
    left = number(plain)
    if left is None:
        return "unclear" if mine else "different"
    # the base may be left out, or the number be given in decimal; either may be what was asked for
    return "unclear" if _digits(based) == plain.strip() or _value(based) == left else "different"


def _fraction(text: str) -> Fraction | None:
    match = _FRACTION.match(text.strip())
    if not match:
        return None
    top, bottom = int(match[1] or match[2]), int(match[3] or match[4])
    return Fraction(top, bottom) if bottom else None


def _repeating(text: str) -> Fraction | None:
    match = _REPEATING.match(text)
    if not match:
        return None
    before, after, again = match[2], match[3], match[4] or match[5]
    if len(before + after + again) > 400:
        return None
    value = Fraction(int((before + after) or 0), 10 ** len(after))
    value += Fraction(int(again), (10 ** len(again) - 1) * 10 ** len(after))
    return -value if match[1] == "-" else value


def _decimal(top: str, bottom: str | None) -> Fraction | None:
    if not any(map(str.isdigit, top)) or (bottom and not int(bottom)):
        return None
    return Fraction(top.replace(",", "")) / int(bottom or 1)


def _rounds(text: str, mine: Fraction, exact: Fraction) -> bool:
    digits = re.sub(r"^0+", "", re.sub(r"[^\d]", "", re.split(r"[eE\\*x]", text)[0]))
    if "." not in text or len(digits) < DIGITS or exact == 0:
        return False
    # only for values without an exact decimal of that length, such as 1/3
    endless = any(exact.denominator % prime == 0 for prime in _other_primes(exact.denominator))
    return endless and abs(mine - exact) <= abs(exact) / 10 ** (len(digits) - 1)


def _other_primes(denominator: int) -> list[int]:
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return [denominator] if denominator > 1 else []


def _based(text: str) -> tuple[str, int] | None:
    match = _BASED.match(text.strip())
    if not match:
        return None
    digits, name = match[1].upper(), (match[2] or match[3]).lower()
    base = int(name) if name.isdigit() and len(name) < 4 else _BASE_NAMES.get(name)
    if base is None or not digits[0].isalnum() or (base <= 10 and not digits.isdigit()):
        return None
    return (digits, base) if any(map(str.isdigit, digits)) or (10 < base <= 36 and len(digits) > 1) else None


def _digits(based: tuple[str, int]) -> str:
    return based[0].lstrip("0") or "0"


def _value(based: tuple[str, int]) -> int | None:
    try:
        return int(based[0], based[1]) if 2 <= based[1] <= 36 else None
    except ValueError:
        return None
