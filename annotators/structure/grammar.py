"""The grammar of a reasoning: parts in an order, each on lines that begin with its mark.

One declaration gives the instruction for generating such a reasoning, the form that rewrites another one into it, and the parser
behind the checker. The surprise: models vary case, bold type and numbers before a mark, so a mark is found with any of these; what
is printed has it exactly, so printing and parsing are inverse.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from annotators.filling import fill
from schemas.codebooks import Codebook, Combination, Pattern
from schemas.codebooks.shipped import plain_data

Line = Annotated[str, Field(min_length=1, max_length=2000)]


class StructurePart(BaseModel):
    """One part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,29}$")]
    mark: Annotated[str, Field(pattern=r"^[^\n{}]*[^\W\d_][^\n{}]*:$", max_length=60)]
    """What its first line begins with; has a letter and ends with a colon."""
    ask: Line
    """What a model is told to write here."""
    body: Annotated[str, Field(max_length=5000)] = ""
    """A Jinja template that makes it of an existing reasoning (docs/mixes.md has the slots; `words` is this part's); the structure's own by default."""
    words: tuple[str, ...] = ()
    """Words of a trace's category that make it apply."""
    values: tuple[Line, ...] = ()
    """What it must begin with, if it is a choice."""


class Structure(BaseModel):
    """A file that declares a structure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,19}$")]
    version: int = Field(ge=1)
    description: Line
    model: Literal["reasoning", "ordinary"] = "ordinary"
    """The kind of model that is asked for it."""
    closing: Annotated[str, Field(max_length=4000)] = ""
    """What a model is told after the parts."""
    body: str = ""
    """The template of parts that have none of their own."""
    parts: Annotated[tuple[StructurePart, ...], Field(min_length=1, max_length=30)]

    @model_validator(mode="after")
    def _tells_parts_apart(self) -> Self:
        for what in ("name", "mark"):
            given = [str(getattr(part, what)).casefold() for part in self.parts]
            if twice := [one for one in given if given.count(one) > 1]:
                raise ValueError(f"two parts have the {what} {twice[0]!r}; rename one")
        if empty := [part.name for part in self.parts if not (part.body or self.body).strip()]:
            raise ValueError(f"part {empty[0]} has no body, and the structure has none either")
        return self

    def without(self, name: str) -> "Structure":
        """The structure without one part, for an ablation.

        Raises:
            ValueError: if there is no such part, or no other.
        """
        left = tuple(part for part in self.parts if part.name != name)
        if len(left) == len(self.parts) or not left:
            raise ValueError(
                f"no part {name!r} to leave out; there are {', '.join(p.name for p in self.parts)}"
            )
        return self.model_copy(update={"parts": left})


class ParsedPart(NamedTuple):
    """A part as a reasoning has it."""

    text: str
    start: int
    """Code points [start, end) of the reasoning, with the mark."""
    end: int


class ReadStructure(NamedTuple):
    """A reasoning, taken apart."""

    parts: dict[str, ParsedPart]
    """In the order of the text; of a part that stands there twice the first."""
    faults: dict[str, str]
    """Part -> what is wrong with it: missing, empty, out of order, none of its values."""
    before: str
    """What stands before the first part."""


def parse(structure: Structure, reasoning: str) -> ReadStructure:
    """Take a reasoning apart, and say what is wrong with each part."""
    found = sorted(
        (match.start("at"), match.end(), part.name)
        for part in structure.parts
        if (match := _mark(part).search(reasoning))
    )
    parts = {}
    for n, (start, body, name) in enumerate(found):
        end = found[n + 1][0] if n + 1 < len(found) else len(reasoning)
        end = start + len(reasoning[start:end].rstrip())
        parts[name] = ParsedPart(reasoning[body:end].strip(), start, max(end, start + 1))
    faults, latest = {}, -1
    for part in structure.parts:
        read = parts.get(part.name)
        if fault := _fault(part, read, latest):
            faults[part.name] = fault
        latest = max(latest, read.start) if read else latest
    return ReadStructure(parts, faults, reasoning[: found[0][0]].strip() if found else reasoning.strip())


def printed(structure: Structure, bodies: Mapping[str, str]) -> str:
    """The reasoning with these bodies, by the names of the parts.

    Raises:
        KeyError: if the body of a part is missing.
    """
    return "\n".join(f"{part.mark} {bodies[part.name].strip()}" for part in structure.parts)


def form(structure: Structure) -> str:
    """The Jinja template that rewrites a reasoning into the structure; slots as in `curation.mix.rewriting`."""
    lines = []
    for part in structure.parts:
        words = "[" + ", ".join(_literal(word) for word in part.words) + "]"
        body = (part.body or structure.body).strip()
        lines.append(f"{{%- set words = {words} -%}}{{{{ {_literal(part.mark)} }}}} {body}")
    return '{{ "\\n" }}'.join(lines)  # white space beside a block may be trimmed


def instruction(structure: Structure) -> str:
    """What a model is told so that it reasons in the structure."""
    asked = "\n".join(
        fill(_text("part.md"), mark=part.mark, ask=part.ask, values=_choice(part)) for part in structure.parts
    )
    return fill(_text("instruction.md"), parts=asked, closing=structure.closing.strip()).strip()


def codebook(structure: Structure) -> Codebook:
    """The codebook whose entries are the structure's parts, and their combination NAME_complete."""
    entries = {
        f"{structure.name}_{part.name}": Pattern(
            name=f"{structure.name}_{part.name}", judged_on="reasoning", definition=part.ask
        )
        for part in structure.parts
    }
    whole = Combination(of=tuple(entries), at_least=len(entries))
    return Codebook(
        name=f"structure-{structure.name}",
        version=structure.version,
        description=structure.description,
        entries=entries,
        combined={f"{structure.name}_complete": whole},
    )


def shipped_names() -> list[str]:
    """The structures that come with the package."""
    return sorted(
        file.name.removesuffix(".yaml") for file in _folder().iterdir() if file.name.endswith(".yaml")
    )


@cache
def shipped(name: str) -> Structure:
    """One of `shipped_names`."""
    return Structure.model_validate(plain_data((_folder() / f"{name}.yaml").read_text(encoding="utf-8")))


def _folder() -> Traversable:
    return files("annotators.structure") / "files"


@cache
def _text(name: str) -> str:
    return (_folder() / name).read_text(encoding="utf-8").rstrip("\n")


def _mark(part: StructurePart) -> "re.Pattern[str]":
    words = r"\s+".join(re.escape(word) for word in part.mark.removesuffix(":").split())
    return re.compile(rf"^[ \t]*(?P<at>(?:[-*#>]+[ \t]*)?(?:\d+[.)][ \t]*)?[*_]{{0,2}}{words}[*_]{{0,2}}:[*_]{{0,2}})", re.IGNORECASE | re.MULTILINE)  # fmt: skip


def _fault(part: StructurePart, read: ParsedPart | None, latest: int) -> str:
    if read is None:
        return "missing"
    if not read.text:
        return "empty"
    if read.start < latest:
        return "out of order"
    said = read.text.lstrip("*_ ").casefold()
    if part.values and not any(said.startswith(value.casefold()) for value in part.values):
        return f"does not begin with {' or '.join(part.values)}"
    return ""


def _choice(part: StructurePart) -> str:
    return f" Begin with one of: {', '.join(part.values)}." if part.values else ""


def _literal(text: str) -> str:
    """A text as a Jinja string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
