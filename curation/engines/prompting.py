"""What is sent to a model, token by token: the chat template's prompt, and the beginning of the answer where one is given.

A conversation whose last message is the assistant's is continued, not answered anew: that is how a reasoning is repaired
from a prefix and how thinking is switched off (an empty, closed think block). The surprise: some templates open the think
block themselves, so the beginning must not open it again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from curation.engines.base import Message, UnfitConversation
from curation.engines.templates import TemplateFault, render_template
from schemas.conversation import Turns, messages, tool_definitions
from schemas.errors import EngineError
from schemas.response import OPEN

NO_TEMPLATE = "has no chat template, so it cannot be asked; use an instruction-tuned model"
TOOLS = "tools"
"""The role of what is no turn but the list of tools."""


class Rendered(NamedTuple):
    """A prompt, ready for a model."""

    ids: list[int]
    lead: str
    """The part of the assistant's turn that the prompt holds already; the model's text goes on from it."""


def asked(text: str, turns: Turns | None = None, tools: str | None = None) -> list[Message]:
    """What a model is asked for a prompt: the whole conversation, and the tools as `Engine.chat` takes them."""
    return [*([{"role": TOOLS, "content": tools}] if tools else []), *messages(text, turns)]


def tools_apart(
    conversation: Sequence[Message],
) -> tuple[list[Message], list[dict[str, Any]] | None]:
    """The turns of a conversation, and the tools in OpenAI's form."""
    if conversation and conversation[0]["role"] == TOOLS:
        return list(conversation[1:]), tool_definitions(conversation[0]["content"])
    return list(conversation), None


def render(
    tokenizer: Any,
    messages: Sequence[Message],
    continues: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> Rendered:
    """Render a conversation with the model's own chat template.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        messages: the conversation, or one message with the role "text": a prompt that is sent as it is.
        continues: whether a last message by the assistant is the beginning of the answer.
        settings: what the template is given by name.

    Raises:
        EngineError: if the model has no chat template and needs one; UnfitConversation if that cannot render the conversation.
    """
    if (prompt := plain_prompt(messages)) is not None:
        return Rendered(tokenizer.encode(prompt), "")
    if not tokenizer.chat_template:
        raise EngineError(f"the model {NO_TEMPLATE}")
    turns, tools = tools_apart(messages)
    turns, beginning = beginning_of(turns) if continues else (turns, "")
    text = _templated(tokenizer, turns, tools, settings)
    lead = beginning
    if text.rstrip().endswith(OPEN):
        opening = text[text.rindex(OPEN) :]
        rest = opening if beginning.startswith(opening) else OPEN
        beginning = beginning.removeprefix(rest)
        lead = opening + beginning
    return Rendered(tokenizer.encode(text + beginning, add_special_tokens=False), lead)


def _templated(
    tokenizer: Any,
    turns: list[Message],
    tools: list[dict[str, Any]] | None,
    settings: Mapping[str, Any] | None,
) -> str:
    # The template is the model's, the roles are the data's: whatever it raises concerns this conversation alone.
    try:
        return render_template(tokenizer, turns, tools=tools, settings=settings)
    except TemplateFault as error:
        roles = ", ".join(turn["role"] for turn in turns)
        raise UnfitConversation(
            f"the model's chat template cannot render a conversation of {roles} "
            f"({str(error)[:300]}); leave such prompts out, or use a model that takes them"
        ) from error


def beginning_of(messages: Sequence[Message]) -> tuple[list[Message], str]:
    """The conversation without the answer's beginning, and that beginning ("" where there is none)."""
    if messages and messages[-1]["role"] == "assistant":
        return list(messages[:-1]), messages[-1]["content"]
    return list(messages), ""


def plain_prompt(messages: Sequence[Message]) -> str | None:
    """The prompt that is sent as it is, without a chat template; null for a conversation."""
    return messages[0]["content"] if len(messages) == 1 and messages[0]["role"] == "text" else None
