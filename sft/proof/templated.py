"""Asks a tokenizer's chat template: the prompt of inference, and a conversation whose last turn is finished."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from curation.engines.templates import TemplateFault, render_template
from schemas.choices import ControlPolicy, LossOn
from schemas.conversation import Turns, messages, tool_definitions
from schemas.errors import RenderError
from sft.proof.markup import ToldMarkup

Tokenizer = Any
"""A `transformers` tokenizer; typed as Any, so that importing this module does not load the library."""


class Rendering(NamedTuple):
    """How rows become sequences."""

    loss_on: LossOn = "last"
    """The last turn of the assistant, or all."""
    control_tokens: ControlPolicy = "refuse"
    day: str | None = None
    """The date (ISO) that a template writes which asks for today's; today if not given."""
    markup: ToldMarkup | None = None
    """Marks that the chat template does not show."""
    settings: Mapping[str, Any] | None = None
    """What the template is given by name, such as enable_thinking; the same as at inference."""


DEFAULT = Rendering()


class Unrenderable(RenderError):
    """A conversation that a chat template does not take."""


def templated(
    tokenizer: Tokenizer,
    turns: Sequence[Mapping[str, Any]],
    tools: str | None = None,
    rendering: Rendering = DEFAULT,
    add_generation_prompt: bool = True,
) -> str:
    """A conversation as the template writes it.

    Raises:
        Unrenderable: if the template does not take it.
    """
    try:
        return render_template(
            tokenizer,
            turns,
            add_generation_prompt,
            tool_definitions(tools) if tools else None,
            rendering.day,
            rendering.settings,
        )
    except TemplateFault as error:
        name = tokenizer.name_or_path or "the tokenizer"
        roles = ", ".join(turn["role"] for turn in turns)
        raise Unrenderable(
            f"{name}: its chat template cannot render a conversation of {roles} ({str(error)[:300]}); "
            "repair the template, or leave such rows out of the mix"
        ) from error


def prompt_text(
    tokenizer: Tokenizer,
    prompt: str,
    turns: Turns | None = None,
    tools: str | None = None,
    rendering: Rendering = DEFAULT,
) -> str:
    """The text of a prompt at inference; errors as of `templated`."""
    return templated(tokenizer, messages(prompt, turns), tools, rendering)


def finished_text(
    tokenizer: Tokenizer, turns: Turns, tools: str | None, rendering: Rendering = DEFAULT
) -> str:
    """A conversation whose last turn is finished, as the template writes it; errors as of `templated`."""
    return templated(tokenizer, messages("", turns), tools, rendering, add_generation_prompt=False)


def writes_the_date(tokenizer: Tokenizer) -> bool:
    """Whether a chat template asks for today's date, so that its prompts differ from day to day."""
    return "strftime_now" in str(tokenizer.chat_template or "")
