"""Answers to multiple-choice questions (GPQA): the letter that an answer commits itself to.

A box counts most, then the last "answer is B", then a letter that stands alone at the end. An answer that does none of these has no
letter, and is unjudged, not wrong: "A" is also an article and "I" a person.
"""

import re

LETTERS = re.compile(r"^[A-J]$")
_BOX = re.compile(r"\\boxed\{\s*(?:\\(?:text|mathrm|textbf|mathbf)\{)?\s*\(?([A-J])\)?\.?\s*\}")
_SAID = re.compile(
    r"(?:answer|option|choice)(?:\s+is)?[\s:*_(\[$]{1,8}(?:(?:option|choice)[\s*_(]+)?([A-J])(?![\w'\u2019])",
    re.IGNORECASE,
)
_ALONE = re.compile(r"(?:^|\n)[\s*_(\[]*([A-J])[\s*_).\]]*$")


def is_letter(reference: str) -> bool:
    """Whether a reference answer is a letter of a choice."""
    return bool(LETTERS.match(reference.strip()))


def chosen_letter(answer: str) -> str | None:
    """The letter that is chosen; null if none is."""
    for pattern in (_BOX, _SAID, _ALONE):
        found = [letter for letter in pattern.findall(answer) if letter.isupper()]
        if found:
            return str(found[-1])
    return None
