r"""Inequalities as intervals (`x<2 or x>3`), and the many ways to say that there is no solution."""

import re

_EMPTY = re.compile(
    r"^(?:\\emptyset|\\\{\s*\\\}|\{\s*\}|(?:there (?:is|are) )?(?:no|none|zero)(?: (?:real|such|valid|possible|integer|integral))*"
    r"(?: (?:solutions?|values?|numbers?|answers?|roots?|x))?(?: (?:exists?|possible|satisf\w+))?|(?:the )?empty set|does not exist)$",
    re.IGNORECASE,
)
_ALL = re.compile(
    r"^(?:[a-z] ?\\in ?)?(?:\\mathbb ?\{?R\}?|(?:all )?(?:real numbers|reals)|ℝ)$", re.IGNORECASE
)
_OR = re.compile(r"\s*(?:\bor\b|\\lor\b|\\vee\b|\\cup\b|;)\s*")
_AND = re.compile(r"\s*(?:\band\b|\\land\b|\\wedge\b|\\cap\b)\s*")
_SIGN = re.compile(r"(\\le(?![a-z])|\\ge(?![a-z])|\\ne(?![a-z])|<=|>=|!=|<|>)")
_IN_WORDS = {
    r"\ge": re.compile(r"^(?:at least|no less than|no fewer than)\b", re.IGNORECASE),
    r"\le": re.compile(r"^(?:at most|no more than|up to)\b", re.IGNORECASE),
    ">": re.compile(r"^(?:more|greater|larger) than\b", re.IGNORECASE),
    "<": re.compile(r"^(?:less|fewer|smaller) than\b", re.IGNORECASE),
}
_CLOSED = {r"\le", r"\ge", "<=", ">="}
_MEMBER = re.compile(r"^([a-zA-Z]) ?\\in ?(?=[\[(\\{])")
_LOW, _HIGH = ("(", r"-\infty"), (r"\infty", ")")

Piece = tuple[tuple[str, str], tuple[str, str]]
"""A bracket and a bound, on either side."""


def is_empty(text: str) -> bool:
    """Whether the text says that nothing solves the problem."""
    return bool(_EMPTY.match(_plain(text)))


def as_interval(text: str) -> str:
    r"""An inequality as a union of intervals, `x \in [1,2]` as `[1,2]`; anything else as it is.

    A bound without a name (`\ge 42`, "at least 42") is one of x.
    """
    plain = _plain(text)
    if _ALL.match(plain):
        return r"(-\infty,\infty)"
    plain = _MEMBER.sub("", plain)
    for sign, words in _IN_WORDS.items():
        plain = words.sub(lambda _, sign=sign: sign, plain)  # type: ignore[misc]
    if _SIGN.match(plain):
        plain = f"x {plain}"
    if not _SIGN.search(plain):
        return plain if plain != _plain(text) else text
    pieces: list[Piece] = []
    for part in _OR.split(plain):
        found = _part(part)
        if found is None:
            return text
        pieces += found
    return r"\cup".join(f"{low[0]}{low[1]},{high[0]}{high[1]}" for low, high in pieces)


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", text)).strip(" .")


def _part(part: str) -> list[Piece] | None:
    """One or several inequalities joined by "and"."""
    low, high = _LOW, _HIGH
    for text in _AND.split(part):
        found = _inequality(text)
        if found is None or (len(found) > 1 and _AND.search(part)):
            return None
        if len(found) > 1:
            return found
        ((left, right),) = found
        if (left != _LOW and low != _LOW) or (right != _HIGH and high != _HIGH):
            return None
        low, high = (left if left != _LOW else low), (right if right != _HIGH else high)
    return [(low, high)]


def _inequality(text: str) -> list[Piece] | None:
    terms = [term.strip() for term in _SIGN.split(text.strip())]
    names = [place for place in range(0, len(terms), 2) if re.fullmatch(r"[a-zA-Z]", terms[place])]
    if len(names) != 1 or not all(terms) or len(terms) not in (3, 5):
        return None
    place = names[0]
    bounds = [term for term in terms[::2] if term != terms[place]]
    if any(re.search(rf"(?<![a-zA-Z\\]){terms[place]}(?![a-zA-Z])", bound) for bound in bounds):
        return None
    if len(terms) == 5:
        return _between(terms) if place == 2 else None
    sign = terms[1]
    bound = terms[2 - place]
    if sign in (r"\ne", "!="):
        return [(_LOW, (bound, ")")), (("(", bound), _HIGH)]
    closed = sign in _CLOSED
    above = (sign in (r"\ge", ">=", ">")) == (place == 0)
    return [(("[" if closed else "(", bound), _HIGH) if above else (_LOW, (bound, "]" if closed else ")"))]


def _between(terms: list[str]) -> list[Piece] | None:
    left, first, _, second, right = terms
    rising = {first, second} <= {"<", r"\le", "<="}
    falling = {first, second} <= {">", r"\ge", ">="}
    if not rising and not falling:
        return None
    if falling:
        left, first, second, right = right, second, first, left
    return [(("[" if first in _CLOSED else "(", left), (right, "]" if second in _CLOSED else ")"))]
