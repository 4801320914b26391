"""What is sent to a model, token by token: the chat template's prompt, and the beginning of the answer where one is given.

A conversation whose last message is the assistant's is continued, not answered anew: that is how a reasoning is repaired
from a prefix and how thinking is switched off (an empty, closed think block). The surprise: some templates open the think
block themselves, so the beginning must not open it again.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from curation.engines.base import Message
from schemas.errors import EngineError
from schemas.response import OPEN


class Rendered(NamedTuple):
    """A prompt, ready for a model."""

    ids: list[int]
    lead: str
    """The part of the assistant's turn that the prompt holds already; the model's text goes on from it."""


def render(tokenizer: Any, messages: Sequence[Message], continues: bool = True) -> Rendered:
    """Render a conversation with the model's own chat template.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        messages: the conversation, or one message with the role "text": a prompt that is sent as it is.
        continues: whether a last message by the assistant is the beginning of the answer.

    Raises:
        EngineError: if the model has no chat template and needs one.
    """
    if (prompt := plain_prompt(messages)) is not None:
        return Rendered(tokenizer.encode(prompt), "")
    if not tokenizer.chat_template:
        raise EngineError(
            "the model has no chat template, so it cannot be asked; use an instruction-tuned model"
        )
    asked, beginning = beginning_of(messages) if continues else (list(messages), "")
    text = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    lead = beginning
    if text.rstrip().endswith(OPEN):
        opening = text[text.rindex(OPEN) :]
        rest = opening if beginning.startswith(opening) else OPEN
        beginning = beginning.removeprefix(rest)
        lead = opening + beginning
    return Rendered(tokenizer.encode(text + beginning, add_special_tokens=False), lead)


def beginning_of(messages: Sequence[Message]) -> tuple[list[Message], str]:
    """The conversation without the answer's beginning, and that beginning ("" where there is none)."""
    if messages and messages[-1]["role"] == "assistant":
        return list(messages[:-1]), messages[-1]["content"]
    return list(messages), ""


def plain_prompt(messages: Sequence[Message]) -> str | None:
    """The prompt that is sent as it is, without a chat template; null for a conversation."""
    return messages[0]["content"] if len(messages) == 1 and messages[0]["role"] == "text" else None
