"""The protocol of inference engines, shared by generation, judging and scoring.

Replies are split into reasoning and answer here, once (`take_apart`); no later code parses think tags.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from pydantic import Field

from annotators.base import Token
from curation.engines.templates import TemplateSettings
from curation.recipe import Recipe
from schemas.errors import EngineError
from schemas.response import Fault, ReadResponse, read

Message = dict[str, Any]
"""`{"role": ..., "content": ...}`, and what `schemas.conversation.messages` gives a turn beside."""


class Sampling(Recipe):
    """All settings that affect the output."""

    max_new_tokens: int = 4096
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    seed: int = 0
    """Only used when sampling."""
    json_schema: dict[str, Any] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Replies follow this schema, on engines that can make them; the others are only asked to."""
    continues: bool = Field(default=True, exclude_if=lambda value: value is True)
    """Whether a last message by the assistant is the beginning of the answer; false: a finished turn to be judged."""
    alternatives: int = Field(default=0, exclude_if=lambda value: value == 0)
    """So many likely tokens with their probabilities are told for each token, on engines that can."""
    chat_template_kwargs: TemplateSettings = Field(default_factory=dict, exclude_if=lambda value: not value)
    """What the model's chat template is given by name, such as `enable_thinking: true`; servers get it as it is."""


class Reply(NamedTuple):
    """One answer of a model."""

    reasoning: str
    """Without think tags; whatever there is of it when the think block is broken."""
    answer: str
    """"" when the reply never got as far as an answer."""
    think_state: str
    """"closed" for a well-formed reply, else the reason of its fault: truncated, cut, unclosed, no_think, several and so on."""
    finish_reason: str
    """Why it ended, in the engine's or the server's own word."""
    prompt_tokens: int
    reasoning_tokens: int
    answer_tokens: int
    tokens: Sequence[Token] = ()
    """What was generated, token by token, where alternatives were asked for and the engine gives them."""


class UnfitConversation(EngineError):
    """A conversation that the model's chat template does not take: it fails alone."""


class Engine(Protocol):
    """Something that answers."""

    name: str
    """"name@fingerprint" of its weights."""

    def chat(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """Answer each conversation, in order.

        A conversation that ends in the assistant's message is continued from there, and the reply is the whole turn
        (see `Sampling.continues`). A conversation of one message with the role "text" is a whole prompt. A first message with
        the role "tools" is no turn: its content is the JSON list of the tools that may be called.

        Raises:
            EngineError: if the model does not answer.
        """
        ...


def take_apart(text: str, finish_reason: str, prompt_tokens: int, count: Callable[[str], int]) -> Reply:
    """Make a reply of the text a model wrote.

    Args:
        text: the assistant's whole turn in any markup: what the prompt began (an opening think tag, a prefix), then what was
            generated.
        finish_reason: why it ended; only words that are known to mean a whole reply make one.
        prompt_tokens: length of the prompt.
        count: counts the tokens of a text.
    """
    return reply_of(read(text, finish_reason), finish_reason, prompt_tokens, count)


def reply_of(
    reading: ReadResponse, finish_reason: str, prompt_tokens: int, count: Callable[[str], int]
) -> Reply:
    """Make a reply of a response that has been read; arguments as of `take_apart`. A NUL is a fault, as it is at ingest."""
    if "\0" in reading.reasoning or "\0" in reading.answer:
        reading = reading._replace(fault=Fault("nul_character", "the reply has a NUL character"))
    reasoning, answer, _ = reading
    thought, said = (count(text) if text else 0 for text in (reasoning, answer))
    return Reply(reasoning, answer, reading.state, finish_reason, prompt_tokens, thought, said)
