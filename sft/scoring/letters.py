"""Answers to multiple-choice questions (GPQA): the letter that an answer chooses.

A box has priority, then the last "answer is B", then a single letter at the end. An answer without any of these has no letter
and is unjudged, not wrong: "A" is also an article and "I" a pronoun.
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
    """Whether a reference answer is the letter of a choice."""
    return bool(LETTERS.match(reference.strip()))


def chosen_letter(answer: str) -> str | None:
    """The chosen letter; null if there is none."""
    for pattern in (_BOX, _SAID, _ALONE):
        letters = [letter for letter in pattern.findall(answer) if letter.isupper()]
        if letters:
            return str(letters[-1])
    return None
