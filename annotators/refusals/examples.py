"""Answers written to learn from, and others to measure on: one a line, its class first, the sentences that matter marked.

See `examples/README.md` for the notation. Every file is one voice; a voice is never on both sides of a split.
"""

import re
from collections.abc import Iterator
from importlib.abc import Traversable
from importlib.resources import files
from typing import Literal, NamedTuple

from schemas.errors import DataError

AnswerClass = Literal[
    "full_refusal", "partial_refusal", "moralising", "safe_completion", "compliance", "no_answer"
]
LETTERS: dict[str, AnswerClass] = {
    "F": "full_refusal",
    "P": "partial_refusal",
    "M": "moralising",
    "S": "safe_completion",
    "C": "compliance",
    "N": "no_answer",
}
MARK = re.compile(r"\[\[|\]\]|\(\(|\)\)")
OPENERS = {"]]": "[[", "))": "(("}
Bounds = tuple[int, int]


class WrittenAnswer(NamedTuple):
    """A labelled answer."""

    text: str
    answer_class: AnswerClass
    refusing: tuple[Bounds, ...]
    """Where it declines, in code points."""
    idle: tuple[Bounds, ...]
    """Where it is neither refusal nor help: regret, values, warnings, whom else to ask."""
    voice: str
    phrasing: str
    """The heading above it; "" where the file has none."""

    @property
    def refuses(self) -> bool:
        """Whether it declines all or a part of what was asked."""
        return self.answer_class in ("full_refusal", "partial_refusal")


def load(folder: Literal["examples", "held_out"]) -> list[WrittenAnswer]:
    """The answers of a folder: those to learn from, or those that nothing is learned from.

    Raises:
        DataError: if a line cannot be read.
    """
    root = files("annotators.refusals") / folder
    return [
        answer
        for file in sorted(root.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".txt")
        for answer in _read(file)
    ]


def _read(file: Traversable) -> Iterator[WrittenAnswer]:
    phrasing = ""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        letter, _, marked = line.partition(" ")
        if letter == "#":
            phrasing = marked
        elif letter in LETTERS:
            yield written(marked, LETTERS[letter], file.name.removesuffix(".txt"), phrasing)
        else:
            raise DataError(f"{file}:{number}: begins with none of {', '.join(LETTERS)} or #")


def written(marked: str, answer_class: AnswerClass, voice: str, phrasing: str = "") -> WrittenAnswer:
    """An answer from its line, without the marks."""
    found: dict[str, list[Bounds]] = {"[[": [], "((": []}
    opened: dict[str, int] = {}
    marked = marked.replace("\\n", "\n")
    text, position = "", 0
    for mark in MARK.finditer(marked):
        kind = OPENERS.get(mark[0], mark[0])
        closes = mark[0] in OPENERS
        if closes and kind not in opened:
            continue  # two brackets of a program
        text += marked[position : mark.start()]
        position = mark.end()
        if closes:
            found[kind].append((opened.pop(kind), len(text)))
        else:
            opened[kind] = len(text)
    text += marked[position:]
    return WrittenAnswer(text, answer_class, tuple(found["[["]), tuple(found["(("]), voice, phrasing)
