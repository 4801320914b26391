"""What words alone do not say, and what keeps two texts from being duplicates: operators, signs, numbers and negation.

Operators become words of their own before texts are hashed. The surprise: a hyphen inside a word, a bullet and Markdown's
asterisks are no operators, so only those that stand between or before operands count.
"""

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from curation.overlap.dedup.sketches import fingerprints
from curation.overlap.words import Hashes, hash_words

ALWAYS = {
    "+": "plus", "=": "equals", "<": "less", ">": "more", "^": "power", "%": "percent", "±": "plusminus", "×": "times", "÷": "over",
    "−": "minus", "≤": "atmost", "≥": "atleast", "≠": "unequal", "≈": "about", "√": "root", "∞": "infinity", "∑": "sum", "∫": "integral",
    "∈": "in", "∉": "notin", "∧": "and", "∨": "or", "¬": "not", "²": "squared", "³": "cubed", "&&": "and", "||": "or",
}  # fmt: skip
"""Signs that are operators wherever they stand, and their names."""
BETWEEN = (
    (r"(\pN)\.(\pN)", "point"),
    (r"(\pN):(\pN)", "ratio"),
    (r"([\pL\pN)\]}])/([\pL\pN(\[{\\])", "slash"),
    (r"([\pL\pN)\]}]\s*)\*(\s*[\pL\pN(\[{\\])", "times"),
    (r"([\pL\pN)\]}]\s+)-(\s+[\pL\pN(\[{\\])", "minus"),
    (r"((?:^|[^\pL\pN*\-]))-([\pL\pN(\[{\\.])", "minus"),
    (r"([\pN)\]}])-([\pL\pN(\[{\\])", "minus"),
    (r"(\pL)-(\pN)", "minus"),
    (r"(\pN)!()", "factorial"),
    (r"(\pL)#()", "sharp"),
)
"""Signs that are operators between or before operands only (RE2), and their names."""
NEGATIONS = [
    "not",
    "no",
    "never",
    "none",
    "nothing",
    "without",
    "cannot",
    "cant",
    "dont",
    "doesnt",
    "isnt",
    "wont",
    "nor",
    "neither",
    "nicht",
    "kein",
    "keine",
    "keinen",
    "nie",
    "ohne",
    "pas",
    "jamais",
    "sans",
    "aucun",
    "non",
    "senza",
    "mai",
    "nunca",
    "sin",
    "ningún",
    "ninguna",
    "não",
    "nem",
    "sem",
    "niet",
    "geen",
    "nooit",
    "zonder",
    "nie",
    "bez",
    "inte",
    "aldrig",
    "ikke",
    "aldri",
    "ei",
    "не",
    "нет",
    "ни",
    "без",
    "никогда",
    "немає",
    "لا",
    "ليس",
    "لم",
    "لن",
    "غير",
    "नहीं",
    "न",
    "मत",
    "बिना",
    "değil",
    "yok",
    "hayır",
    "không",
    "chưa",
    "tidak",
    "bukan",
    "jangan",
    "ไม่",
    "안",
    "못",
    "없",
]
_TOKEN = re.compile(
    rf"\d+|n['’]t\b|(?<!\w)(?:{'|'.join(NEGATIONS)})(?!\w)|[不没沒無无非未别別否勿莫]|な[いくし]|ません|ぬ\b|ず\b|不是|안|못|ไม่",
    re.IGNORECASE,
)


def with_operators(texts: pa.Array) -> pa.Array:
    """The texts with each operator as a word of its own."""
    for pattern, name in BETWEEN:
        for _ in range(2):  # one operand may serve two operators
            texts = pc.replace_substring_regex(texts, pattern, rf"\1 op{name} \2")
    for sign, name in ALWAYS.items():
        texts = pc.replace_substring(texts, sign, f" op{name} ")
    return texts


def signatures(texts: Sequence[str]) -> Hashes:
    """A hash of the numbers, operators and negations of each text; 0 for a text without any."""
    tokens = (" ".join(re.findall(r"\bop[a-z]+\b", text) + _TOKEN.findall(text.lower())) for text in texts)
    return fingerprints(hash_words(list(tokens)))
