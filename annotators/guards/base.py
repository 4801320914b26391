"""What a guard is: how it is asked about one text, and how its reply is read.

A reply that does not parse is null, never "safe": the annotator abstains then.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from annotators.base import Conversation
from annotators.filling import fill

Field = Literal["reasoning", "answer"]


class Finding(NamedTuple):
    """What a guard says of one text."""

    unsafe: bool | None = None
    score: float | None = None
    """How unsafe, 0 to 1, for guards with degrees; what lies in between counts as unsafe."""
    refusal: bool | None = None
    detail: str = ""
    """The guard's own word for it, such as a category."""
    partial: bool | None = None
    """Whether it refuses and still helps, where the guard tells."""


class Guard(NamedTuple):
    """A family of guards."""

    name: str
    patterns: tuple[str, ...]
    """`unsafe`, and `answer_refusal`, `full_refusal` and `partial_refusal` where its replies tell."""
    fields: tuple[Field, ...]
    """What it judges if nothing else is said."""
    ask: Callable[[str, str, str], Sequence[Conversation]]
    """(template, prompt, text) -> what it is asked; several questions where it judges one policy at a time."""
    parse: Callable[[Sequence[str]], Finding | None]
    """Its replies to these -> what they say."""
    template: str | None = None
    """File with its prompt, in our own wording; null for guards whose tokenizer brings the published one."""
    max_tokens: int = 32
    schema: Mapping[str, Any] | None = None
    version: str = "1"


def exchange(template: str, prompt: str, text: str) -> list[Conversation]:
    """The exchange itself, for guards whose chat template does the rest."""
    return [[{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]]


def as_text(template: str, prompt: str, text: str) -> list[Conversation]:
    """The filled-in template as a whole prompt, for guards without a chat template."""
    return [[{"role": "text", "content": fill(template, prompt=prompt, response=text)}]]


def as_message(template: str, prompt: str, text: str) -> list[Conversation]:
    """The filled-in template as a person's message, for any chat model."""
    return [[{"role": "user", "content": fill(template, prompt=prompt, response=text)}]]


@cache
def prompt_file(name: str) -> str:
    """The text of a file in `annotators/guards/prompts`."""
    return (files("annotators.guards") / "prompts" / name).read_text(encoding="utf-8")


def json_reply(reply: str) -> dict[str, Any] | None:
    """The JSON object in a reply; null if there is none."""
    try:
        found = json.loads(reply[reply.find("{") : reply.rfind("}") + 1], strict=False)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
