"""Distillation strategies: what a model is told so that its reasoning about a query is worth learning from.

One Markdown file each: YAML front matter, then the instruction. The shipped texts are our own words for the intent
published in arXiv 2505.15404; to use other wording, give a file of your own. The instruction serves generation only: a
trace keeps the bare query.
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from annotators.structure.grammar import Structure, instruction
from curation.codebook.structures import find_structure, is_structure
from curation.engines import Message
from curation.engines.prompting import TOOLS, asked
from curation.reading import read_text
from curation.recipe import Recipe, parse_recipe
from schemas.choices import PromptKind
from schemas.conversation import Turns
from schemas.errors import RecipeError
from schemas.ids import content_id

NAMES = ("default", "realsafe", "improved", "short", "template", "nocot")
QUERY = "{query}"
THINKING = ("zero", "less", "more")
_FRONT_MATTER = re.compile(r"\A---\n(.*?\n)---\n(.*)\Z", re.DOTALL)


class Header(Recipe):
    """The front matter of a strategy file."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][\w.-]*$")
    """The file's name without its suffix where it is not given."""
    version: int = Field(ge=1)
    summary: str
    instruction: Literal["none", "before_query", "system"]
    """Where the instruction goes."""
    model: Literal["reasoning", "ordinary", "none"]
    """The kind of model it is for: one that thinks by itself, one that is told to, or none (a fixed answer)."""
    kinds: tuple[PromptKind, ...] = ()
    """Kinds of prompts it is for; all where none is named."""
    mean_tokens: int | None = Field(default=None, ge=1)
    """Usual length of reasoning and answer in tokens, for estimates."""


class Strategy(NamedTuple):
    """A way of asking."""

    name: str
    header: Header
    text: str
    """The instruction; for a strategy without a model, the fixed answer."""

    @property
    def version(self) -> str:
        """Version and fingerprint: a changed instruction is another strategy even where its number stayed."""
        settings = [self.header.instruction, self.header.model, self.text]
        return f"{self.header.version}.{content_id(settings)[:8]}"

    @property
    def system(self) -> str | None:
        """The system message, if it uses one."""
        return self.text if self.header.instruction == "system" else None

    def takes(self, kind: str | None) -> bool:
        """Whether prompts of this kind are meant for it."""
        return not self.header.kinds or kind in self.header.kinds

    def messages(self, query: str, turns: Turns | None = None, tools: str | None = None) -> list[Message]:
        """What the model is sent for a query at the end of a conversation: a system prompt comes first, the instruction after it."""
        sent = asked(query, turns, tools)
        if self.header.instruction == "before_query":
            last = max(place for place, message in enumerate(sent) if message["role"] == "user")
            told = self.text.replace(QUERY, query) if QUERY in self.text else f"{self.text}\n\n{query}"
            return [*sent[:last], sent[last] | {"content": told}, *sent[last + 1 :]]
        if not self.system:
            return sent
        first = 1 if sent[0]["role"] == TOOLS else 0
        if sent[first]["role"] == "system":
            joined = f"{sent[first]['content']}\n\n{self.system}"
            return [*sent[:first], sent[first] | {"content": joined}, *sent[first + 1 :]]
        return [*sent[:first], {"role": "system", "content": self.system}, *sent[first:]]


def choose(names: Sequence[str], own: Sequence[Path] = ()) -> list[Strategy]:
    """Shipped strategies by name, and strategies from files.

    Raises:
        RecipeError: naming every unknown name, every fault of a file, and names given twice.
    """
    faults, chosen = [], []
    for name in names:
        if name in NAMES:
            chosen.append(shipped(name))
        elif is_structure(name):
            try:
                chosen.append(of_structure(find_structure(name)))
            except RecipeError as error:
                faults.append(str(error))
        else:
            faults.append(
                f"unknown strategy {name!r}; shipped: {', '.join(NAMES)}; give a file with --strategy-file"
            )
    for path in own:
        try:
            chosen.append(read(path))
        except RecipeError as error:
            faults.append(str(error))
    taken = [strategy.name for strategy in chosen]
    faults += [
        f"strategy {name!r} is given twice; keep one" for name in sorted(set(taken)) if taken.count(name) > 1
    ]
    if not chosen and not faults:
        faults.append("no strategy; name one with --strategies or --strategy-file")
    if faults:
        raise RecipeError("\n".join(faults))
    return chosen


def of_structure(structure: Structure) -> Strategy:
    """The strategy that asks for a reasoning of a structure."""
    header = Header(
        version=structure.version, summary=structure.description, instruction="system", model=structure.model
    )
    return Strategy(f"structure-{structure.name}", header, instruction(structure))


@cache
def shipped(name: str) -> Strategy:
    """A strategy of this package."""
    file = files("curation.generate") / "strategies" / f"{name}.md"
    return _parse(Path(f"{name}.md"), read_text(file))


def source(name: str) -> str:
    """The text of a shipped strategy's file.

    Raises:
        RecipeError: if there is none of this name.
    """
    if name not in NAMES:
        raise RecipeError(f"unknown strategy {name!r}; shipped: {', '.join(NAMES)}")
    return read_text(files("curation.generate") / "strategies" / f"{name}.md").rstrip("\n")


def listed() -> list[dict[str, str]]:
    """The shipped strategies for a table: name, version, kind of model, place of the instruction, summary."""
    strategies = [shipped(name) for name in NAMES]
    return [
        {"name": s.name, "version": s.version, "model": s.header.model, "instruction": s.header.instruction,
         "summary": s.header.summary}
        for s in strategies
    ]  # fmt: skip


def read(path: Path) -> Strategy:
    """A strategy from a file of the user's.

    Raises:
        RecipeError: if the file is missing or wrong; names every fault.
    """
    return _parse(path, read_text(path))


@cache
def thinking(mode: str) -> str:
    """The text of a thinking mode: what the assistant's turn begins with, or ("more") what is added to its thoughts."""
    text = (files("curation.generate") / "thinking" / f"{mode}.md").read_text(encoding="utf-8")
    return text.rstrip("\n") if mode == "more" else text


def _parse(path: Path, text: str) -> Strategy:
    front_matter = _FRONT_MATTER.match(text)
    if not front_matter:
        raise RecipeError(
            f"{path}:1: no front matter; begin with a line ---, fields such as version: 1, and a line ---"
        )
    # The opening line of the front matter stays, so that line numbers in errors are those of the file.
    header = parse_recipe(path, f"---\n{front_matter[1]}", Header).recipe
    body = front_matter[2].strip("\n")
    if bool(body.strip()) != (header.instruction != "none" or header.model == "none"):
        raise RecipeError(
            f"{path}: a text below the front matter is needed exactly where instruction is not none "
            "(the instruction) or model is none (the fixed answer)"
        )
    return Strategy(header.name or path.stem, header, body)
