"""The text a model trains on: exactly what it is asked at inference, then exactly what it must write.

The surprise this file exists for: the chat template of DeepSeek-R1-Distill deletes the reasoning of every assistant
turn, so rendering a finished conversation trains on the answer alone. Here no assistant turn is ever put through a
template. The prompt tokens come from the template as inference calls it, and the completion is written after them as
the model itself would: `<think>` (only where the prompt does not open it already), reasoning, `</think>`, answer, EOS; for gpt-oss
the analysis channel, then the final one.
"""

from typing import Any, NamedTuple

import jinja2

from schemas.errors import RenderError


class Markup(NamedTuple):
    """What a family writes around reasoning and answer."""

    before: str
    """Before the reasoning, where the prompt does not open it already."""
    between: str
    """Between reasoning and answer."""
    bare: str
    """Before an answer without reasoning."""
    marks: dict[str, int]
    """How often each mark stands in a whole turn with reasoning, begun by the model itself."""


THINK = Markup("<think>\n", "\n</think>\n\n", "<think>\n\n</think>\n\n", {"<think>": 1, "</think>": 1})
HARMONY = Markup(
    "<|channel|>analysis<|message|>",
    "<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|channel|>final<|message|>",
    {"<|channel|>": 2, "<|message|>": 2, "<|end|>": 1, "<|start|>": 1},
)
"""gpt-oss: reasoning and answer are messages of two channels."""
RETURN = "<|return|>"
"""What ends a turn of gpt-oss."""
IGNORED = -100
"""Label of a token that carries no loss (the convention of torch's cross entropy)."""

Tokenizer = Any
"""A `transformers` tokenizer; not named here, so that reading this module does not load the library."""


class Rendered(NamedTuple):
    """One row as token ids."""

    input_ids: list[int]
    labels: list[int]
    """`input_ids` where the model learns to write, `IGNORED` on the prompt."""
    prompt_length: int
    """How many of the first tokens are the prompt."""


def render(tokenizer: Tokenizer, prompt: str, reasoning: str, answer: str) -> Rendered:
    """Render one row for the tokenizer's chat template.

    Args:
        tokenizer: one that `check_family` lets through.
        prompt: the bare query.
        reasoning: the chain of thought; "" gives a closed, empty think block.
        answer: what is said after it.
    """
    asked = prompt_text(tokenizer, prompt)
    prompt_ids = tokenizer.encode(asked, add_special_tokens=False)
    text = completion_text(opens_thinking(asked), reasoning, answer, markup_of(tokenizer))
    completion = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    return Rendered(prompt_ids + completion, [IGNORED] * len(prompt_ids) + completion, len(prompt_ids))


def prompt_text(tokenizer: Tokenizer, prompt: str) -> str:
    """What inference puts before the model when it is asked `prompt`."""
    messages = [{"role": "user", "content": prompt}]
    return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))


def completion_text(prompt_opens_thinking: bool, reasoning: str, answer: str, markup: Markup = THINK) -> str:
    """What the model must write after the prompt, up to EOS."""
    if markup is HARMONY and not reasoning:
        return markup.bare + answer
    return ("" if prompt_opens_thinking else markup.before) + reasoning + markup.between + answer


def markup_of(tokenizer: Tokenizer) -> Markup:
    """The markup that a tokenizer's chat template speaks."""
    return HARMONY if "<|channel|>" in tokenizer.chat_template else THINK


class Parts(NamedTuple):
    """A completion taken apart again."""

    opened: str
    """The mark that begins it, "" where the prompt has it."""
    reasoning: str
    between: str
    answer: str


def take_apart(text: str, markup: Markup) -> Parts:
    """Undo `completion_text`."""
    if markup is HARMONY and text.startswith(markup.bare):
        return Parts(markup.bare, "", "", text.removeprefix(markup.bare))
    thought, between, answer = text.partition(markup.between)
    opened = markup.before if thought.startswith(markup.before) else ""
    return Parts(opened, thought.removeprefix(opened), between, answer)


def is_whole(text: str, markup: Markup) -> bool:
    """Whether a completion has every mark as often as one turn has it, so that no text smuggles one in."""
    parts = take_apart(text, markup)
    if parts.opened == markup.bare:
        return all(text.count(mark) == parts.opened.count(mark) for mark in markup.marks)
    missing = "" if parts.opened else markup.before
    return all(text.count(mark) + missing.count(mark) == times for mark, times in markup.marks.items())


def opens_thinking(asked: str) -> bool:
    """Whether a generation prompt itself ends in `<think>`."""
    return asked.rstrip().endswith(THINK.before.strip())


def check_family(tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer for which the training text is not known.

    Raises:
        RenderError: saying what is missing and what to do.
    """
    name = tokenizer.name_or_path or "the tokenizer"
    if not tokenizer.chat_template:
        raise RenderError(
            f"{name}: no chat template; use an instruction-tuned model, or save one into its tokenizer"
        )
    if tokenizer.eos_token_id is None:
        raise RenderError(f"{name}: no EOS token, so the model could never learn to stop; set eos_token")
    asked = prompt_text(tokenizer, "x")
    if asked.rstrip().endswith(THINK.between.strip()):
        raise RenderError(
            f"{name}: its template closes the think block before the model writes, so reasoning cannot be taught; "
            "use the thinking variant of the template"
        )
    if markup_of(tokenizer) is HARMONY and (
        tokenizer.eos_token != RETURN or not asked.endswith("<|start|>assistant")
    ):
        raise RenderError(
            f"{name}: its template speaks in channels, but not as gpt-oss does: a turn must begin with <|start|>assistant "
            f"and end with {RETURN} (the EOS token here is {tokenizer.eos_token}); use the tokenizer of gpt-oss"
        )
    if opens_thinking(asked) and not asked.endswith(THINK.before):
        raise RenderError(
            f"{name}: its generation prompt ends in {asked[-9:]!r} where <think> and a line break are expected; "
            "how this family goes on is not known, and a guess would train on other tokens than inference sees"
        )
    _check_against_finished_turn(tokenizer, name, asked)


def _check_against_finished_turn(tokenizer: Tokenizer, name: str, asked: str) -> None:
    """Where the template itself writes a finished turn with its reasoning and end, ours must be the same text."""
    markup, template = markup_of(tokenizer), tokenizer.chat_template
    if markup is THINK and "thinking" in template and THINK.before.strip() not in template:
        raise RenderError(
            f"{name}: its template speaks of thinking but not of <think>; how this family marks reasoning is not known"
        )
    whole = _finished_turn(tokenizer, "because", "yes")
    ours = asked + completion_text(opens_thinking(asked), "because", "yes", markup)
    if "because" in whole and not whole.startswith(ours):
        raise RenderError(
            f"{name}: its template writes reasoning and answer as {whole[-60:]!r} where {ours[-60:]!r} is expected; how this "
            "family goes on is not known, and a guess would train on other tokens than the model writes"
        )
    _, answered, end = whole.rpartition("yes")
    end = end.strip()
    if answered and end and not end.startswith(tokenizer.eos_token):
        raise RenderError(
            f"{name}: its template ends a turn with {end!r}, but the EOS token is {tokenizer.eos_token!r}, so inference would not "
            "stop where training ends; set eos_token of the tokenizer to what ends a turn"
        )


def _finished_turn(tokenizer: Tokenizer, reasoning: str, answer: str) -> str:
    """A conversation with its answer as the template writes it, reasoning under the names that templates know; "" if it cannot."""
    turn = {"role": "assistant", "content": answer, "reasoning_content": reasoning, "thinking": reasoning}
    try:
        return str(tokenizer.apply_chat_template([{"role": "user", "content": "x"}, turn], tokenize=False))
    except (jinja2.TemplateError, TypeError, ValueError):
        return ""  # this template takes no finished turns
