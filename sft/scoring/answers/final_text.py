r"""Which part of an answer is the final answer, and its text in one notation.

The last box has priority, then the last "the answer is ...". Boxes that only a comma, "and" or "or" separates are one answer in
several parts.
"""

import re
from collections.abc import Iterator

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BETWEEN = re.compile(r"^[\s$,;.]*(?:(?:\\text\{\s*)?(?:and|or)\s*\}?)?[\s$]*(?:[a-zA-Z]\s*=\s*)?[\s$]*$")
_SAID = re.compile(
    r"\b(?:answer|solution|result)(?:[ \t]+(?:to|of|for)[ \t][^.:\n]{1,60}?)?[*_ \t]*"
    r"(?::|=|\bis\b|\bare\b|\bmust be\b|\bwill be\b|\bequals\b)[*_ \t]*:?[*_ \t]*(?:\n\s*)?(?:not\b[^.,;\n]{1,60}?\bbut\s+)?(?![*_ \t]*(?:\w+ )?not\b)((?:(?!\b(?:answer|solution|result)\b)[^\n])+)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"(?:(?:[.;?]|(?<![\d)\]}])!)(?=\s|$|\*|\$)|,?\s+i\.e\.|,?\s+(?:because|since|which|where|so that|rather than|instead of|as (?:we|the|it|required))\b"
    r"|,\s+(?:and |but )?not\b).*$"
)
_DENIED = re.compile(
    r"\b(?:answer|solution|result)\s+(?:\w+\s+){0,2}?(?:not|cannot|\w+n['’]t)\b(?:(?!\bbut\b|[.!?]\s)[^,;:])*$",
    re.IGNORECASE,
)
_NO_VALUE = re.compile(
    r"^(?:wrong|right|correct|incorrect|unclear|unknown|clear|obvious|valid|invalid|above|below|as follows)\b",
    re.IGNORECASE,
)
_THIN_SPACE = re.compile(r"(?<=\d)(?:\\[,!;:]|~|\{,\}|,\\!\s*)+(?=\d{3}(?!\d))")
_POWERS = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_LARGE = re.compile(rf"(?<=\d)\s*(\\text\s*\{{)?\s*({'|'.join(_POWERS)})\b(?(1)(?:\s*\}})?)", re.IGNORECASE)
_SIGNS = {
    r"\\": r"\\",  # the end of a matrix row is no sign with what follows it
    "−": "-", "–": "-", "€": "¤", "£": "¤", "¥": "¤", "₹": "¤", "×": r"\times ", "·": r"\cdot ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∞": r"\infty ",
    "∪": r"\cup ", "∈": r"\in ", "∅": r"\emptyset ", "≈": r"\approx ", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "π": r"\pi ", "°": r"^\circ ", "**": "", r"\left": "", r"\right": "",
    r"\displaystyle": "", r"\!": "", r"\,": " ", r"\;": " ", r"\:": " ", r"\quad": " ", r"\ ": " ", "~": " ",
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\leq": r"\le", r"\geq": r"\ge", r"\neq": r"\ne", r"\lt": "<", r"\gt": ">",
    r"\mbox": r"\text", r"\textrm": r"\text", r"\textbf": r"\text", r"\textit": r"\text", r"\mathrm": r"\text",
    r"\mathbf": r"\text", r"\textnormal": r"\text", r"\operatorname": r"\text", r"\varnothing": r"\emptyset",
}  # fmt: skip
_SIGN = re.compile("|".join(re.escape(sign) + ("(?![a-zA-Z])" if sign[-1:].isalpha() else "") for sign in
                            sorted(_SIGNS, key=len, reverse=True)))  # fmt: skip
_ROOT = re.compile(r"([√∛])\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?|[a-zA-Z]))")
_RAISED = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_PLAIN = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_LABELLED = re.compile(r"^(?:\\text\s*\{\s*\(?[A-J][).:]\s*\}|\([A-J]\)|[A-J]\))\s*(?=\S)")
"""The letter of an option before what it says."""
_ASIDE = re.compile(
    r"(?<=\S)\s+\((?!\s*(?:mod|base|in base)\b)(?=[^()]*(?<![\\a-zA-Z])(?!(?:sin|cos|tan|log|exp|sqrt)\b)[a-zA-Z]{3,})[^()]*\)"
    r"|(?<=[\d}$])\s+\(\$?(?:≈|~|\\approx)?\s*-?\d*(?:\.\d+\s*(?:\\?%)?|\s*\\?%)\$?\)"
)
"""Words or a decimal in brackets behind an answer: "(not 24)", "(attained at x = 1)", "(0.333)"."""
_GROUPED = re.compile(r"^-?\d{1,3}(?: \d{3})+(?!\d)")
_IN = re.compile(r"^([a-zA-Z]) in (?=[\[(])")
_ONLY_TEXT = re.compile(r"^\\text\s*\{([^{}]*)\}$")


def boxed(answer: str) -> str | None:
    """The content of the last box, or of the last boxes that form one answer; null if no closed box has content."""
    found = list(_boxes(answer))
    if not found:
        return None
    parts = [found[-1]]
    for box in reversed(found[:-1]):
        if not _BETWEEN.match(answer[box[1] : parts[0][0]]):
            break
        parts.insert(0, box)
    return ", ".join(dict.fromkeys(content for _, _, content in parts))


def statements(answer: str) -> list[str]:
    """What the answer says its result is ("the answer is ..."), the last statement first."""
    said = [
        _SENTENCE_END.sub("", match[1].strip()).strip(" *_")
        for match in _SAID.finditer(without_asides(answer))
    ]
    return [text for text in reversed(said) if text and not _NO_VALUE.match(text)]


def without_asides(text: str) -> str:
    """The text without words in brackets."""
    return _ASIDE.sub("", text)


def denies(line: str) -> bool:
    """Whether a line says only what the answer is not."""
    return bool(_DENIED.search(line))


def clean(text: str) -> str:
    """A short answer in one notation: no dollar signs around it, thin spaces, sizes of brackets or bold type."""
    text = _THIN_SPACE.sub("", text.strip())
    text = re.sub(r"(?<!\\)\\[()\[\]]", "", text) if text.startswith(("\\(", "\\[")) else text
    text = _ROOT.sub(lambda m: f"\\sqrt{'[3]' if m[1] == '∛' else ''}{{{m[2] or m[3]}}}", text)
    text = _RAISED.sub(lambda m: f"^{{{m[0].translate(_PLAIN)}}}", text)
    text = _SIGN.sub(lambda match: _SIGNS[match[0]], text.replace(r"\$", "¤").replace("$", "")).strip()
    text = _LABELLED.sub("", re.sub(r"\s+", " ", text)).rstrip(" .\\")
    text = _IN.sub(r"\1 \\in ", _GROUPED.sub(lambda m: m[0].replace(" ", ""), text))
    text = re.sub(r"^(?:negative|minus) (?=[\d.\\])", "-", _LARGE.sub(_as_power, text), flags=re.IGNORECASE)
    only = _ONLY_TEXT.match(text)
    return only[1].strip() if only and any(map(str.isdigit, only[1])) else text


def _as_power(match: re.Match[str]) -> str:
    opened = match[1] if match[1] and not match[0].endswith("}") else ""
    return rf" \times 10^{{{_POWERS[match[2].lower()]}}} {opened}".rstrip()


def _boxes(answer: str) -> Iterator[tuple[int, int, str]]:
    for match in _BOX.finditer(answer):
        end = _closing_brace(answer, match.end())
        if end is not None and answer[match.end() : end].strip():
            yield match.start(), end + 1, answer[match.end() : end].strip()


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for place in range(start, len(text)):
        if text[place] in "{}" and text[place - 1] != "\\":
            depth += 1 if text[place] == "{" else -1
            if depth == 0:
                return place
    return None
