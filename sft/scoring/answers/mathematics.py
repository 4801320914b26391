r"""Short answers to math problems. Only the answer is read, never the chain of thought.

Numbers, bases, units, words and empty sets are compared here, exactly; everything else by math-verify, which rounds to six
decimals, so that what it accepts is checked again at full precision.
"""

import re
from threading import current_thread, main_thread
from typing import Any, NamedTuple

from schemas.errors import require
from sft.scoring.answers import ranges, units
from sft.scoring.answers.final_text import boxed, clean, denies, statements, without_asides
from sft.scoring.answers.numbers import Verdict, compare_bases, compare_clocks, compare_numbers, number

SECONDS = 5
"""Time limit per answer; "9^9^9^9" would never end."""
EXACT, ROUNDED = "1e-12", "1e-6"
"""Relative differences at which two numbers are one: of exact expressions, and where one is a decimal."""
LABEL = {"same": True, "different": False, "unclear": None}
_ASSIGNED = re.compile(r"^(?:\(?[a-zA-Z](?:_\{?\w+\}?|'|\([a-z]\))?\)?|\\[a-z]+)\s*=\s*(?=[^=]+$)")
_PARTS = re.compile(r"\s*(?:,|\bor\b|\band\b|\\text\s*\{\s*(?:or|and)\s*\})\s*(?![^(\[]*[)\]])")
_FENCE = re.compile(r"^[ \t]*```\w*[ \t]*(?:\n|\Z)", re.MULTILINE)
_BOLD = re.compile(r"\*\*\s*([$€£¤]?-?\d[\d.,/]*(?:\s?%|(?: [A-Za-z]+){1,3})?)\s*\.?\*\*")
_WORDS = re.compile(r"^(?:\\text\s*\{)?\s*\(?([A-Za-z][A-Za-z' -]*?)\)?\s*\}?$")
_FUNCTION = re.compile(r"(?<![\\A-Za-z])(sin|cos|tan|cot|sec|csc|log|ln|exp)(?![A-Za-z])")
_ROOT = re.compile(r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)")
_PROSE = re.compile(r"(?<![\\A-Za-z])(?!(?:sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|pi|and|or)\b)[A-Za-z]{2,}")
_ABOUT = re.compile(r"\s*\\approx\s*|(?<=[\d)}])\s*=\s*(?=-?\d*\.\d)")
_TELLS = re.compile(
    r"^(?:#+\s*|a:\s*|.*\b(?:is|are|equals)\s+|(?:(?:so|thus|hence|therefore|then|we (?:get|have|find)|this gives)\b[\s,:]*)+)",
    re.IGNORECASE,
)
"""What stands before a value in a sentence that tells it."""
_CHAIN = re.compile(r"=(?:(?!\bor\b|\band\b|,).)*=")
_ROUNDED = re.compile(r"(\$[^$\n]+\$|\\\([^\n]+?\\\)|[^\s$=]+)\s*(?:≈|\\approx)\s*\$?[-−]?\d[\d.,]*\d?")
"""A value and what it is about, in the last line."""
_DENIES = re.compile(r"(?<!\\)\bnot\b", re.IGNORECASE)
_NEGATED = re.compile(r"\b(?:not|never|neither|or|nor)\b|n't\b", re.IGNORECASE)


class FinalAnswer(NamedTuple):
    """The final answer of a reply."""

    text: str
    """In one notation (`clean`)."""
    parsed: list[Any]
    """By math-verify; empty for words."""


def final_answer(answer: str) -> FinalAnswer | None:
    """The final answer: the last box, else the last "the answer is ...", else the last line's only bold amount, else the last expression; null if there is none."""
    answer = _FENCE.sub("", answer)
    box = boxed(answer)
    if box is not None:
        return FinalAnswer(clean(box), _parse_box(box))
    for said in statements(answer):
        text = clean(said)
        parsed = _parse(said) if _PROSE.search(text) or _ABOUT.search(text) else _parse_box(text)
        if parsed or ranges.is_empty(text) or (_WORDS.match(text) and len(text.split()) <= 3):
            return FinalAnswer(text, parsed)
    answer = without_asides(answer.strip()).replace("−", "-")
    line = answer.rpartition("\n")[2]
    if denies(line):
        return None
    if len(bold := _BOLD.findall(line)) == 1:
        return FinalAnswer(clean(bold[0]), _parse_box(bold[0]))
    last = clean(line)
    if about := list(_ROUNDED.finditer(line)):
        return FinalAnswer(clean(about[-1][0]), [])
    told = _TELLS.sub("", re.split(r"(?<=[.!?])\s+", last)[-1])
    if _is_value(told):
        return FinalAnswer(told, _parse_box(told))
    parsed = _parse(answer)
    if ranges.is_empty(last) or (not parsed and " " not in last and _WORDS.match(last)):
        return FinalAnswer(last, parsed)
    return FinalAnswer(clean(str(parsed[-1])), parsed) if parsed else None


def _is_value(text: str) -> bool:
    if not re.search(r"\d", text) or _CHAIN.search(text):
        return False
    return not _PROSE.search(text) or bool(re.match(r"[-+\d.¤\\]", text) and units.amount(text))


def equal(answer: FinalAnswer, reference: str) -> bool | None:
    """Whether an answer equals the reference (a short text such as "3/4" or "x+1"); null if that cannot be told."""
    gold = clean(boxed(reference) or reference)
    values = [part for part in _ABOUT.split(answer.text) if part]
    if len(values) > 1 and not _ABOUT.search(gold):  # "5/36, about 0.139" states one value twice
        found = [_compared(FinalAnswer(value, _parse_box(value)), gold) for value in values]
        return LABEL["same" if "same" in found else found[0]]
    return LABEL[_compared(answer, gold)]


def _compared(answer: FinalAnswer, gold: str) -> Verdict:
    verdict = _read(answer.text, gold)
    return _verify(answer, gold) if verdict is None else verdict


def _read(answer: str, gold: str) -> Verdict | None:
    """Compare what needs no algebra; null for the rest."""
    if answer == gold:
        return "same"
    if ranges.is_empty(answer) or ranges.is_empty(gold):
        return "same" if ranges.is_empty(answer) and ranges.is_empty(gold) else "different"
    for reader in (
        _compare_words,
        compare_bases,
        compare_clocks,
        compare_numbers,
        units.compare_mixed,
        _compare_amounts,
        _compare_names,
    ):
        verdict = reader(answer, gold)
        if verdict is not None:
            return verdict
    return None


def _compare_words(answer: str, gold: str) -> Verdict | None:
    wanted = _WORDS.match(gold)
    if not wanted or not (gold.startswith(r"\text") or re.search("[A-Za-z]{3}", gold)):
        return None
    said = " ".join(
        re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", answer).replace("\\", " ").strip(" ().").lower().split()
    )
    words = " ".join(wanted[1].lower().split())
    if said == words:
        return "same"
    if not gold.startswith(r"\text"):
        return None  # letters may be a product
    if len(words) > 1 and re.search(rf"\b{re.escape(words)}\b", said):
        return "unclear" if _NEGATED.search(said) else "same"
    return "different"


def _compare_amounts(answer: str, gold: str) -> Verdict | None:
    mine, wanted = units.amount(_value(answer)), units.amount(_value(gold))
    if mine and wanted:
        units_are = units.compare_units(mine.unit, wanted.unit)
        if units_are == "different":
            return units_are
        same = _compare_magnitudes(mine, wanted)
        return same if units_are == "same" or same == "different" else "unclear"
    if mine is None and wanted is None:
        return None
    found, plain = (mine, _value(gold)) if mine else (wanted, _value(answer))
    assert found is not None
    verdict = compare_numbers(*((found.magnitude, plain) if mine else (plain, found.magnitude)))
    percent = found.unit.powers == frozenset({("percent", 1)})
    if verdict == "different" and percent and compare_numbers(f"{found.magnitude}e-2", plain) == "same":
        return "same"
    if verdict is None:
        left, right = (found.magnitude, plain) if mine else (plain, found.magnitude)
        return _verify(FinalAnswer(left, _parse_box(left)), right)
    return verdict


def _compare_magnitudes(mine: units.Amount, wanted: units.Amount) -> Verdict:
    numbers = [number(one.magnitude) for one in (mine, wanted)]
    if numbers[0] is not None and numbers[1] is not None:
        if mine.unit.size == wanted.unit.size:
            return compare_numbers(mine.magnitude, wanted.magnitude) or "unclear"
        return "same" if numbers[0] * mine.unit.size == numbers[1] * wanted.unit.size else "different"
    if mine.unit.size != wanted.unit.size:
        return "unclear"
    return _verify(FinalAnswer(mine.magnitude, _parse_box(mine.magnitude)), wanted.magnitude)


def _compare_names(answer: str, gold: str) -> Verdict | None:
    """x = 5 is not y = 5; where only one side names a variable, its value counts."""
    names = [match[0].rstrip(" =") if (match := _ASSIGNED.match(text)) else None for text in (answer, gold)]
    if names[0] and names[1] and names[0] != names[1]:
        return "different"
    return compare_numbers(_value(answer), _value(gold)) if any(names) else None


def _value(text: str) -> str:
    return _ASSIGNED.sub("", text)


def _verify(answer: FinalAnswer, gold: str) -> Verdict:
    """Compare by math-verify, and numbers again at full precision."""
    _, verify, timed = _library()
    mine, wanted = _comparable(answer.text), _comparable(gold)
    if _DENIES.search(mine) and not _DENIES.search(wanted):
        return "unclear"
    parsed = answer.parsed if mine == answer.text else _parse_box(mine)
    try:
        golden = _parse_box(wanted)
        if not verify(golden, parsed, timeout_seconds=_seconds(), raise_on_error=True):
            return "different"
        if {_delimiters(mine), _delimiters(wanted)} == {"()", "{}"}:
            return "different"
        return "same" if timed(_seconds())(_precisely)(golden, parsed) else "different"
    except (Exception, _timeout_error()):  # noqa: BLE001  sympy raises whatever it trips over
        return "unclear"


def _comparable(text: str) -> str:
    """Intervals for inequalities, values for a list of assignments."""
    interval = ranges.as_interval(text)
    if interval != text:
        return interval
    parts = _PARTS.split(text)
    if len(parts) > 1 and all(map(_ASSIGNED.match, parts)):
        values = {part.partition("=")[0].strip(): _value(part) for part in parts}
        if len(values) == len(parts):  # x=5, y=3 is the pair (5, 3), x=5 or x=3 a set
            return f"({', '.join(values[name] for name in sorted(values))})"
        return ", ".join(map(_value, parts))
    # a ratio of three is no chain of quotients: 1:2:3 is not 1:3:2
    return f"({text.replace(':', ', ')})" if text.count(":") > 1 else text


def _delimiters(text: str) -> str:
    """The brackets around a list of expressions: (3,4) is not {3,4}; empty without."""
    text = text.replace(r"\{", "{").replace(r"\}", "}").strip()
    kind = text[:1] + text[-1:]
    return kind if kind in ("()", "{}") and "," in text and r"\cup" not in text else ""


def _precisely(gold: list[Any], answer: list[Any]) -> bool:
    """Whether two parsed answers are equal beyond math-verify's six decimals; true for what is not numeric."""
    pairs = _numeric_pairs(gold[0], answer[0]) if gold and answer else []
    for left, right in pairs:
        tolerance = ROUNDED if left.has(_float()) or right.has(_float()) else EXACT
        difference = (left - right).evalf(30)
        if abs(difference) > float(tolerance) * max(abs(left.evalf(30)), abs(right.evalf(30))):
            return False
    return True


def _numeric_pairs(left: Any, right: Any) -> list[tuple[Any, Any]]:
    import sympy

    if isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr):
        return (
            [(left, right)]
            if left.is_number and right.is_number and left.is_finite and right.is_finite
            else []
        )
    if isinstance(left, sympy.Tuple) and isinstance(right, sympy.Tuple) and len(left) == len(right):
        return [pair for each in zip(left, right, strict=True) for pair in _numeric_pairs(*each)]
    return []


def _float() -> Any:
    import sympy

    return sympy.Float


def _parse(text: str) -> list[Any]:
    parse, _, _ = _library()
    return parse(text, parsing_timeout=_seconds()) or []


def _parse_box(text: str) -> list[Any]:
    # without the box a fifth of MATH-500's own answers do not parse
    text = _ROOT.sub(r"\\sqrt{\1}", _FUNCTION.sub(r"\\\1", clean(text)))
    return _parse(f"\\boxed{{{_PARTS.sub(', ', text)}}}")


def _seconds() -> int | None:
    """The time limit uses a signal, which only the main thread receives."""
    return SECONDS if current_thread() is main_thread() else None


def _library() -> tuple[Any, Any, Any]:
    require("math_verify")
    import math_verify
    from math_verify.utils import timeout

    return math_verify.parse, math_verify.verify, timeout


def _timeout_error() -> type[BaseException]:
    from math_verify.errors import TimeoutException

    error: type[BaseException] = TimeoutException
    return error
