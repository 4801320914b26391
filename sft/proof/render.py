"""Renders training text: the exact prompt of inference, followed by the exact completion the model should write.

The surprise: the chat template of DeepSeek-R1-Distill deletes the reasoning of every assistant turn, so rendering a finished
conversation trains on the answer alone. Here no assistant turn is ever rendered by a template. The prompt tokens come from
the template as called at inference, and the completion is appended as the model would write it: reasoning in the family's marks
(unless the prompt already opens them), answer, EOS. Earlier turns are part of the prompt, so their reasoning is kept or dropped
as the template does it at inference.
"""

from typing import NamedTuple

from schemas.conversation import Turns
from schemas.errors import RenderError
from sft.proof.families import markup_of
from sft.proof.markup import Markup, completion_text
from sft.proof.templated import DEFAULT, Rendering, Tokenizer, Unrenderable, prompt_text

IGNORED = -100
"""Label of a token that carries no loss (the convention of torch's cross entropy)."""


class RenderedRow(NamedTuple):
    """One row as token ids."""

    input_ids: list[int]
    labels: list[int]
    """`input_ids` on the completion, `IGNORED` on the prompt."""
    prompt_length: int
    """Number of prompt tokens at the start; where several turns carry loss, of those before the last one."""


def render(
    tokenizer: Tokenizer,
    prompt: str,
    reasoning: str,
    answer: str,
    turns: Turns | None = None,
    tools: str | None = None,
    rendering: Rendering = DEFAULT,
) -> RenderedRow:
    """Render one row for the tokenizer's chat template.

    Args:
        tokenizer: one that `check_family` accepts.
        prompt: the query.
        reasoning: the chain of thought; "" gives what the family writes without one, else a closed, empty think block.
        answer: the text after it.
        turns: the prompt's conversation, if it is more than `prompt`.
        tools: JSON list of the prompt's tools.
        rendering: the day that a template writes, told marks, and what the template is given by name.

    Raises:
        RenderError: if the template does not take the conversation.
    """
    asked = prompt_text(tokenizer, prompt, turns, tools, rendering)
    prompt_ids = tokenizer.encode(asked, add_special_tokens=False)
    text = completion_text(reasoning, answer, markup_after(tokenizer, turns, rendering))
    completion = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    return RenderedRow(prompt_ids + completion, [IGNORED] * len(prompt_ids) + completion, len(prompt_ids))


def markup_after(tokenizer: Tokenizer, turns: Turns | None, rendering: Rendering = DEFAULT) -> Markup:
    """The markup of the turn that follows a conversation.

    Raises:
        Unrenderable: where it is not known, which concerns the row alone: that after a question has been checked.
    """
    try:
        return markup_of(tokenizer, rendering, turns)
    except Unrenderable:
        raise
    except RenderError as error:
        raise Unrenderable(f"the turn after a tool's result is not known ({error})") from error
