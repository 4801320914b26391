"""The marks of a model family around reasoning and answer, and turns made of them and taken apart again.

The surprise: a family may write no mark at all before an answer without reasoning (Seed-OSS), or only the closing one (MiniMax-M3).
"""

import re
from typing import NamedTuple

from pydantic import Field, model_validator

from curation.recipe import Recipe

_MARK = re.compile(r"<[^<>\s]{1,40}>|\[[^\[\]\n]{1,40}\]|◁[^▷\n]{1,30}▷")


def marks_in(text: str) -> list[str]:
    """The marks in a text, in their order."""
    return _MARK.findall(text)


class Markup(NamedTuple):
    """What a model writes around reasoning and answer, after the prompt of inference."""

    before: str
    """Before the reasoning; "" where the prompt opens it already."""
    between: str
    """Between reasoning and answer."""
    bare: str
    """Before an answer without reasoning."""
    tail: str = ""
    """Between the answer and EOS."""
    opening: str = ""
    """What ends a prompt, behind its last text."""
    source: str = "assumed"
    """How this is known."""

    @property
    def marks(self) -> frozenset[str]:
        """Every mark of a turn; a text with one of them cannot be told from the turn's own."""
        found = set(_MARK.findall(self.before + self.between + self.bare))
        if not self.before.strip() and (opened := _MARK.findall(self.opening)):
            found |= {opened[-1]} if self.opening.rstrip().endswith(opened[-1]) else set()
        return frozenset(found or {self.between.strip()})


class ToldMarkup(Recipe):
    """Marks that a chat template does not show, as the model writes them; line breaks count."""

    before: str
    """Before the reasoning, such as "<think>\\n", whether the prompt opens it or not."""
    between: str = Field(pattern=r"\S")
    """Between reasoning and answer, such as "\\n</think>\\n\\n"."""
    bare: str | None = None
    """Before an answer without reasoning; by default as the template writes such a turn, else (and with `tail`) `before` and `between`."""
    tail: str | None = None
    """Between the answer and EOS; by default as the template writes it."""

    @model_validator(mode="after")
    def _one_boundary(self) -> "ToldMarkup":
        if self.between.strip() in self.before:
            raise ValueError("before contains between, so nothing would tell where the reasoning ends")
        return self


THINK = Markup("<think>\n", "\n</think>\n\n", "<think>\n\n</think>\n\n")
"""As DeepSeek-R1 and its distillates write; their templates drop the reasoning of finished turns."""


class Parts(NamedTuple):
    """The parts of a completion."""

    opened: str
    """The opening marks, "" if the prompt has them."""
    reasoning: str
    between: str
    answer: str
    tail: str = ""


def completion_text(reasoning: str, answer: str, markup: Markup) -> str:
    """The completion after the prompt, up to EOS."""
    around = markup.before + reasoning + markup.between if reasoning else markup.bare
    return around + answer + markup.tail


def take_apart(text: str, markup: Markup) -> Parts:
    """The inverse of `completion_text`."""
    tail = markup.tail if text.endswith(markup.tail) else ""
    body = text.removesuffix(tail) if tail else text
    if body.startswith(markup.before) and markup.between in body[len(markup.before) :]:
        reasoning, _, answer = body.removeprefix(markup.before).partition(markup.between)
        return Parts(markup.before, reasoning, markup.between, answer, tail)
    opened = markup.bare if body.startswith(markup.bare) else ""
    return Parts(opened, "", "", body.removeprefix(opened), tail)


def is_whole(text: str, markup: Markup) -> bool:
    """Whether a completion has every mark as often as one turn has it, so that no text injects one."""
    parts = take_apart(text, markup)
    around = parts.opened + parts.between + parts.tail
    return parts.tail == markup.tail and all(text.count(mark) == around.count(mark) for mark in markup.marks)
