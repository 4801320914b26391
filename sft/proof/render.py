"""Renders training text: the exact prompt of inference, followed by the exact completion the model should write.

The surprise: the chat template of DeepSeek-R1-Distill deletes the reasoning of every assistant turn, so rendering a finished
conversation trains on the answer alone. Here no assistant turn is ever rendered by a template. The prompt tokens come from
the template as called at inference, and the completion is appended as the model would write it: `<think>` (unless the prompt
already opens it), reasoning, `</think>`, answer, EOS; for gpt-oss the analysis channel, then the final one. Earlier turns are
part of the prompt, so their reasoning is kept or dropped as the template does it at inference.
"""

from typing import Any, NamedTuple

from curation.engines.templates import render_template
from schemas.conversation import Turns, messages, tool_definitions
from schemas.errors import EngineError, RenderError


class Markup(NamedTuple):
    """The markers of a model family around reasoning and answer."""

    before: str
    """Before the reasoning, unless the prompt already opens it."""
    between: str
    """Between reasoning and answer."""
    bare: str
    """Before an answer without reasoning."""
    marks: dict[str, int]
    """How often each marker occurs in a complete turn with reasoning."""


THINK = Markup("<think>\n", "\n</think>\n\n", "<think>\n\n</think>\n\n", {"<think>": 1, "</think>": 1})
HARMONY = Markup(
    "<|channel|>analysis<|message|>",
    "<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|channel|>final<|message|>",
    {"<|channel|>": 2, "<|message|>": 2, "<|end|>": 1, "<|start|>": 1},
)
"""gpt-oss: reasoning and answer are messages of two channels."""
RETURN = "<|return|>"
"""End of a turn in gpt-oss."""
IGNORED = -100
"""Label of a token that carries no loss (the convention of torch's cross entropy)."""

Tokenizer = Any
"""A `transformers` tokenizer; typed as Any, so that importing this module does not load the library."""


class RenderedRow(NamedTuple):
    """One row as token ids."""

    input_ids: list[int]
    labels: list[int]
    """`input_ids` on the completion, `IGNORED` on the prompt."""
    prompt_length: int
    """Number of prompt tokens at the start; where several turns carry loss, of those before the last one."""


class Unrenderable(RenderError):
    """A conversation that a chat template does not take."""


def render(
    tokenizer: Tokenizer,
    prompt: str,
    reasoning: str,
    answer: str,
    turns: Turns | None = None,
    tools: str | None = None,
    day: str | None = None,
) -> RenderedRow:
    """Render one row for the tokenizer's chat template.

    Args:
        tokenizer: one that `check_family` accepts.
        prompt: the query.
        reasoning: the chain of thought; "" gives a closed, empty think block.
        answer: the text after it.
        turns: the prompt's conversation, if it is more than `prompt`.
        tools: JSON list of the prompt's tools.
        day: what a template that writes the date takes for today (ISO); today if not given.

    Raises:
        RenderError: if the template does not take the conversation.
    """
    asked = prompt_text(tokenizer, prompt, turns, tools, day)
    prompt_ids = tokenizer.encode(asked, add_special_tokens=False)
    text = completion_text(opens_thinking(asked), reasoning, answer, markup_of(tokenizer))
    completion = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    return RenderedRow(prompt_ids + completion, [IGNORED] * len(prompt_ids) + completion, len(prompt_ids))


def prompt_text(
    tokenizer: Tokenizer,
    prompt: str,
    turns: Turns | None = None,
    tools: str | None = None,
    day: str | None = None,
) -> str:
    """The text of a prompt at inference; arguments and errors as of `render`."""
    return _templated(tokenizer, messages(prompt, turns), tools, day)


def prompt_tokens(
    tokenizer: Tokenizer,
    prompt: str,
    turns: Turns | None = None,
    tools: str | None = None,
    day: str | None = None,
) -> list[int]:
    """The tokens of a prompt as the template itself tokenises it; arguments and errors as of `render`."""
    text = prompt_text(tokenizer, prompt, turns, tools, day)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def finished_text(tokenizer: Tokenizer, turns: Turns, tools: str | None, day: str | None) -> str:
    """A conversation whose last turn is finished, as the template writes it; errors as of `render`."""
    return _templated(tokenizer, messages("", turns), tools, day, add_generation_prompt=False)


def writes_the_date(tokenizer: Tokenizer) -> bool:
    """Whether a chat template asks for today's date, so that its prompts differ from day to day."""
    return "strftime_now" in str(tokenizer.chat_template or "")


def _templated(
    tokenizer: Tokenizer,
    turns: list[dict[str, Any]],
    tools: str | None,
    day: str | None,
    add_generation_prompt: bool = True,
) -> str:
    try:
        return render_template(
            tokenizer, turns, add_generation_prompt, tool_definitions(tools) if tools else None, day
        )
    except EngineError as error:
        name = tokenizer.name_or_path or "the tokenizer"
        roles = ", ".join(turn["role"] for turn in turns)
        raise Unrenderable(
            f"{name}: its chat template cannot render a conversation of {roles} ({str(error)[:300]}); "
            "repair the template, or leave such rows out of the mix"
        ) from error


def completion_text(prompt_opens_thinking: bool, reasoning: str, answer: str, markup: Markup = THINK) -> str:
    """The completion after the prompt, up to EOS."""
    if markup is HARMONY and not reasoning:
        return markup.bare + answer
    return ("" if prompt_opens_thinking else markup.before) + reasoning + markup.between + answer


def markup_of(tokenizer: Tokenizer) -> Markup:
    """The markup of a tokenizer's chat template."""
    return HARMONY if "<|channel|>" in tokenizer.chat_template else THINK


class Parts(NamedTuple):
    """The parts of a completion."""

    opened: str
    """The opening marker, "" if the prompt has it."""
    reasoning: str
    between: str
    answer: str


def take_apart(text: str, markup: Markup) -> Parts:
    """The inverse of `completion_text`."""
    if markup is HARMONY and text.startswith(markup.bare):
        return Parts(markup.bare, "", "", text.removeprefix(markup.bare))
    thought, between, answer = text.partition(markup.between)
    opened = markup.before if thought.startswith(markup.before) else ""
    return Parts(opened, thought.removeprefix(opened), between, answer)


def is_whole(text: str, markup: Markup) -> bool:
    """Whether a completion has every marker as often as one turn has it, so that no text injects one."""
    parts = take_apart(text, markup)
    if parts.opened == markup.bare:
        return all(text.count(mark) == parts.opened.count(mark) for mark in markup.marks)
    missing = "" if parts.opened else markup.before
    return all(text.count(mark) + missing.count(mark) == times for mark, times in markup.marks.items())


def opens_thinking(asked: str) -> bool:
    """Whether a generation prompt ends in `<think>`."""
    return asked.rstrip().endswith(THINK.before.strip())


def check_family(tokenizer: Tokenizer) -> None:
    """Reject a tokenizer whose training text is not known.

    Raises:
        RenderError: with what is missing and what to do.
    """
    name = tokenizer.name_or_path or "the tokenizer"
    if not tokenizer.chat_template:
        raise RenderError(
            f"{name}: no chat template; use an instruction-tuned model, or save one into its tokenizer"
        )
    if tokenizer.eos_token_id is None:
        raise RenderError(f"{name}: no EOS token, so the model cannot learn to stop; set eos_token")
    asked = prompt_text(tokenizer, "x")
    if asked.rstrip().endswith(THINK.between.strip()):
        raise RenderError(
            f"{name}: its template closes the think block in the prompt, so reasoning cannot be trained; "
            "use the thinking variant of the template"
        )
    if markup_of(tokenizer) is HARMONY and (
        tokenizer.eos_token != RETURN or not asked.endswith("<|start|>assistant")
    ):
        raise RenderError(
            f"{name}: its template uses channels, but not those of gpt-oss: a turn must begin with <|start|>assistant "
            f"and end with {RETURN} (the EOS token here is {tokenizer.eos_token}); use the tokenizer of gpt-oss"
        )
    if opens_thinking(asked) and not asked.endswith(THINK.before):
        raise RenderError(
            f"{name}: its generation prompt ends in {asked[-9:]!r} where <think> and a line break are expected; "
            "this family is not supported, since a guess could train on other tokens than inference sees"
        )
    _check_against_finished_turn(tokenizer, name, asked)


def _check_against_finished_turn(tokenizer: Tokenizer, name: str, asked: str) -> None:
    """If the template renders a finished turn with reasoning and end, our text must be equal to it."""
    markup, template = markup_of(tokenizer), tokenizer.chat_template
    if markup is THINK and "thinking" in template and THINK.before.strip() not in template:
        raise RenderError(
            f"{name}: its template mentions thinking but not <think>; the reasoning markup of this family is not known"
        )
    whole = _finished_turn(tokenizer, "because", "yes")
    ours = asked + completion_text(opens_thinking(asked), "because", "yes", markup)
    if "because" in whole and not whole.startswith(ours):
        raise RenderError(
            f"{name}: its template writes reasoning and answer as {whole[-60:]!r} where {ours[-60:]!r} is expected; this "
            "family is not supported, since a guess could train on other tokens than the model writes"
        )
    _, answered, end = whole.rpartition("yes")
    end = end.strip()
    if answered and end and not end.startswith(tokenizer.eos_token):
        raise RenderError(
            f"{name}: its template ends a turn with {end!r}, but the EOS token is {tokenizer.eos_token!r}, so inference would not "
            "stop where training ends; set the tokenizer's eos_token to the end of a turn"
        )


def _finished_turn(tokenizer: Tokenizer, reasoning: str, answer: str) -> str:
    """A finished conversation rendered by the template, with reasoning under the keys that templates use; "" if it cannot."""
    turn = {"role": "assistant", "content": answer, "reasoning_content": reasoning, "thinking": reasoning}
    try:
        return render_template(
            tokenizer, [{"role": "user", "content": "x"}, turn], add_generation_prompt=False
        )
    except EngineError:
        return ""  # this template does not render finished turns
