"""What a guard is: how it is prompted about one text, and how its reply is parsed.

A reply that does not parse gives null, never "safe": the annotator then abstains.
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
    """A guard's result for one text."""

    unsafe: bool | None = None
    score: float | None = None
    """How unsafe, 0 to 1, for guards with several levels; intermediate levels count as unsafe."""
    refusal: bool | None = None
    detail: str = ""
    """The guard's own term, such as a category."""
    partial: bool | None = None
    """Whether it refuses but still helps, if the guard reports that."""


class Guard(NamedTuple):
    """A family of guards."""

    name: str
    patterns: tuple[str, ...]
    """`unsafe`, and `answer_refusal`, `full_refusal` and `partial_refusal` if its replies report them."""
    fields: tuple[Field, ...]
    """The fields it judges by default."""
    ask: Callable[[str, str, str], Sequence[Conversation]]
    """(template, prompt, text) -> its requests; several if it judges one policy at a time."""
    parse: Callable[[Sequence[str]], Finding | None]
    """Its replies to these -> the finding."""
    template: str | None = None
    """File with its prompt, in our own wording; null for guards whose tokenizer includes the published one."""
    max_tokens: int = 32
    schema: Mapping[str, Any] | None = None
    version: str = "1"


def exchange(template: str, prompt: str, text: str) -> list[Conversation]:
    """The bare exchange, for guards whose chat template adds the policy."""
    return [[{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]]


def as_text(template: str, prompt: str, text: str) -> list[Conversation]:
    """The filled template as a complete prompt, for guards without a chat template."""
    return [[{"role": "text", "content": fill(template, prompt=prompt, response=text)}]]


def as_message(template: str, prompt: str, text: str) -> list[Conversation]:
    """The filled template as a user message, for any chat model."""
    return [[{"role": "user", "content": fill(template, prompt=prompt, response=text)}]]


@cache
def prompt_file(name: str) -> str:
    """The text of a file in `annotators/guards/prompts`."""
    return (files("annotators.guards") / "prompts" / name).read_text(encoding="utf-8")


def json_reply(reply: str) -> dict[str, Any] | None:
    """The JSON object in a reply; null if there is none."""
    try:
        value = json.loads(reply[reply.find("{") : reply.rfind("}") + 1], strict=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
