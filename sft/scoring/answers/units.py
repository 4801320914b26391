r"""Units of short answers: `12\text{ m/s}` is 12 where the reference has no unit, `15\text{ cm}^2` is not `15\text{ cm}^3`, and
3 hours 20 minutes are 200 minutes.

A word that is no known unit ("12 apples") counts as a unit of its own.
"""

import re
from collections import Counter
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from sft.scoring.answers.numbers import Verdict, number


class Unit(NamedTuple):
    """What a unit measures, and its size."""

    powers: frozenset[tuple[str, int]]
    """Quantity -> exponent: speed is {(length, 1), (time, -1)}."""
    size: Fraction
    known: bool
    """Whether all its words are known units."""


class Amount(NamedTuple):
    """A magnitude and its unit."""

    magnitude: str
    unit: Unit


_POWER = r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)?"
_WORD = r"(?:[A-Za-z]+\.?|%|¢|€)"
_UNIT = (
    rf"(?:\\text\s*\{{\s*[^{{}}0-9]*(?:\^\{{?-?\d\}}?)?[^{{}}0-9]*\}}{_POWER}|\^\s*\{{?\s*\\circ\s*\}}?|\\circ|\\%|\\degree"
    rf"|(?<![A-Za-z\\^_]){_WORD}{_POWER})"
)
_UNITS = rf"(?:{_UNIT}(?:\s*(?:/|\\cdot|\*)?\s*{_UNIT})*)"
_AMOUNT = re.compile(rf"^(?P<magnitude>.*?[\d)}}\]a-z])(?P<space>\s*)(?P<unit>{_UNITS})$", re.DOTALL)
_PAIR = re.compile(rf"(\d[\d.,]*)\s*({_UNIT})\s*(?:,|and|\\text\s*\{{\s*and\s*\}})?\s*")
_NO_UNITS = frozenset(
    [
        "or",
        "and",
        "if",
        "for",
        "where",
        "in",
        "is",
        "base",
        "to",
        "times",
        "over",
        "pi",
        "mod",
        "no",
        "not",
        "such",
        "that",
        "when",
        "with",
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "log",
        "ln",
        "sqrt",
        "frac",
        "by",
        "the",
        "of",
        "to",
    ]
)
_FACTOR = re.compile(
    rf"(/|per\b)?\s*(square|sq|cubic|cu)?\.?\s*({_WORD})(?:\s*(squared|cubed)|\s*\^\s*\{{?\s*(-?\d)\s*\}}?)?"
)
_EXPONENTS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}


def amount(text: str) -> Amount | None:
    """The magnitude and the unit of "12 m/s"; null without a unit."""
    if text.startswith("¤"):
        return Amount(text[1:].strip(), _unit("¤"))  # type: ignore[arg-type]
    match = _AMOUNT.match(text.strip())
    if not match:
        return None
    unit = _unit(match["unit"])
    plain = match["unit"][:1].isalpha()
    if unit is None or (plain and not _stands_for_a_unit(match, unit)):
        return None
    return Amount(match["magnitude"].strip(), unit)


def compare_mixed(answer: str, gold: str) -> Verdict | None:
    """Compare amounts in several units, such as "3 hours 20 minutes"."""
    mine, wanted = _total(answer), _total(gold)
    if mine is None and wanted is None:
        return None
    mine, wanted = mine or _single(answer), wanted or _single(gold)
    if mine is None or wanted is None:
        return "unclear"
    return "same" if mine == wanted else "different"


def compare_units(answer: Unit, gold: Unit) -> Verdict:
    """Compare what two units measure; "unclear" if that depends on a word that is no known unit."""
    if answer.powers == gold.powers:
        return "same"
    exponents = [sorted(exponent for _, exponent in unit.powers) for unit in (answer, gold)]
    return "different" if (answer.known and gold.known) or exponents[0] != exponents[1] else "unclear"


def _stands_for_a_unit(match: re.Match[str], unit: Unit) -> bool:
    # "2k" and "5i" are products, "12 m" and "12 apples" are amounts
    words = re.findall(r"[A-Za-z]+", match["unit"])
    long = all(len(word) > 2 for word in words)
    return number(match["magnitude"]) is not None and (
        long or (unit.known and (bool(match["space"]) or len(words[0]) > 1))
    )


def _unit(text: str) -> Unit | None:
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", text.replace(r"\%", "%"))
    text = (
        re.sub(r"\^\s*\{?\s*\\circ\s*\}?|\\circ|\\degree", " degree ", text)
        .replace(r"\cdot", " ")
        .replace("*", " ")
    )
    powers: Counter[str] = Counter()
    size, known, sign, end = Fraction(1), True, 1, 0
    for match in _FACTOR.finditer(text.replace("¤", "dollar")):
        if text[end : match.start()].strip(" .()-") or match[3].lower().rstrip(".") in _NO_UNITS:
            return None
        end = match.end()
        sign = -1 if match[1] else sign
        quantity, factor, is_known = _known(match[3])
        exponent = sign * (int(match[5]) if match[5] else _EXPONENTS.get(match[2] or match[4] or "", 1))
        powers[quantity] += exponent
        size *= factor**exponent
        known = known and is_known
    powers.pop("unit", None)
    left = frozenset((quantity, exponent) for quantity, exponent in powers.items() if exponent)
    return Unit(left, size, known) if end else None


def _known(word: str) -> tuple[str, Fraction, bool]:
    word = word.lower().rstrip(".")
    for form in (word, word.removesuffix("s"), word.removesuffix("es")):
        if form and form in _table():
            return *_table()[form], True
    return word.removesuffix("s"), Fraction(1), False


@cache
def _table() -> dict[str, tuple[str, Fraction]]:
    table = {}
    for line in (files("sft.scoring.answers") / "units.txt").read_text(encoding="utf-8").splitlines():
        names, colon, measured = line.partition(": ")
        if colon and not line.startswith("#"):
            quantity, size = measured.split()
            table.update(dict.fromkeys(names.split(), (quantity, Fraction(size))))
    return table


def _total(text: str) -> tuple[frozenset[tuple[str, int]], Fraction] | None:
    """The sum of at least two amounts."""
    pairs = list(_PAIR.finditer(text))
    if len(pairs) < 2 or "".join(pair[0] for pair in pairs).strip() != text.strip():
        return None
    units = [_unit(pair[2]) for pair in pairs]
    values = [number(pair[1].rstrip(",.")) for pair in pairs]
    if len({unit.powers if unit else None for unit in units}) > 1:
        return None
    total = sum(
        (value * unit.size for value, unit in zip(values, units, strict=True) if value is not None and unit),
        Fraction(0),
    )
    return (units[0].powers, total) if units[0] and None not in values else None


def _single(text: str) -> tuple[frozenset[tuple[str, int]], Fraction] | None:
    found = amount(text)
    value = number(found.magnitude) if found else None
    return (found.unit.powers, value * found.unit.size) if found and value is not None else None
