"""The protocol of inference engines, shared by generation, judging and scoring.

Replies are split into reasoning and answer here, once (`take_apart`); no later code parses think tags.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import Field

from annotators.base import Token
from curation.engines.channels import as_think_tags
from curation.recipe import Recipe
from schemas.response import Fault, split

Message = dict[str, str]
"""`{"role": ..., "content": ...}`"""
FinishReason = Literal["stop", "length"]


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


class Reply(NamedTuple):
    """One answer of a model."""

    reasoning: str
    """Without think tags; whatever there is of it when the think block is broken."""
    answer: str
    """"" when the reply never got as far as an answer."""
    think_state: str
    """"closed" for a well-formed reply, else the splitter's reason: truncated, unclosed, no_think, several and so on."""
    finish_reason: FinishReason
    prompt_tokens: int
    reasoning_tokens: int
    answer_tokens: int
    tokens: Sequence[Token] = ()
    """What was generated, token by token, where alternatives were asked for and the engine gives them."""


class Engine(Protocol):
    """Something that answers."""

    name: str
    """"name@fingerprint" of its weights."""

    def chat(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """Answer each conversation, in order.

        A conversation that ends in the assistant's message is continued from there, and the reply is the whole turn
        (see `Sampling.continues`). A conversation of one message with the role "text" is a whole prompt.

        Raises:
            EngineError: if the model does not answer.
        """
        ...


def take_apart(
    text: str, finish_reason: FinishReason, prompt_tokens: int, count: Callable[[str], int]
) -> Reply:
    """Make a reply of the text a model wrote.

    Args:
        text: the assistant's whole turn, think tags or channels included, without the end-of-turn token: what the prompt began
            (an opening think tag, a prefix), then what was generated.
        finish_reason: "length" when the token limit cut the text off.
        prompt_tokens: length of the prompt.
        count: counts the tokens of a text.
    """
    text = as_think_tags(text)
    parts = split(text, finish_reason)
    if not isinstance(parts, Fault):
        reasoning, answer, state = parts.reasoning, parts.answer, "closed"
    elif parts.reason == "no_think":
        reasoning, answer, state = "", text, parts.reason
    else:
        reasoning, answer, state = text, "", parts.reason
    return Reply(reasoning, answer, state, finish_reason, prompt_tokens, count(reasoning), count(answer))
