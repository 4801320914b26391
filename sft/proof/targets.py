"""Which turns of a row carry loss, as rows of their own: each is proven alone, then those that continue one another are joined.

With loss on all turns, the context of a turn is what inference would send before it. Where the template drops the reasoning of
earlier turns, that context is no continuation of the turn as the model wrote it, so the two stay separate sequences.
"""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from schemas.choices import LossOn
from schemas.conversation import Turn, tool_definitions
from schemas.row import Row
from sft.proof.render import IGNORED, RenderedRow
from sft.proof.templated import Rendering, Tokenizer, finished_text, prompt_text


class Target(NamedTuple):
    """A turn that carries loss, as a row that ends with it."""

    row: Row
    calls: Turn | None = None
    """The turn itself, where it calls tools: what the model writes then is known from the template alone."""


def targets(row: Row, loss_on: LossOn) -> Iterator[Target]:
    """The turns to prove, in their order. A turn without reasoning is one of a closed, empty think block."""
    if loss_on == "all":
        for place, turn in enumerate(row.turns or ()):
            before = (row.turns or ())[:place]
            questions = [earlier.content for earlier in before if earlier.role == "user"]
            if turn.role == "assistant" and questions:
                earlier = {
                    "turns": before, "prompt": questions[-1], "reasoning": turn.reasoning or "", "answer": turn.content
                }  # fmt: skip
                yield Target(row.model_copy(update=earlier), turn if turn.tool_calls else None)
    yield Target(row)


def called(tokenizer: Tokenizer, target: Target, rendering: Rendering) -> RenderedRow | None:
    """A turn that calls tools, as the template itself writes it after the prompt of inference.

    Returns:
        Null where the template does not continue that prompt, leaves out a part of the turn, or ends it with another token than EOS:
        such a turn carries no loss.
    """
    row, turn = target.row, target.calls
    assert turn is not None and turn.tool_calls is not None
    asked = prompt_text(tokenizer, row.prompt, row.turns, row.tools, rendering)
    whole = finished_text(tokenizer, [*(row.turns or ()), turn], row.tools, rendering)
    text, end, _ = whole.removeprefix(asked).partition(tokenizer.eos_token)
    names = [call["function"]["name"] for call in json.loads(turn.tool_calls)]
    if not (
        whole.startswith(asked)
        and end
        and all(_in(text, told) for told in (row.reasoning, row.answer, *names))
    ):
        return None
    prompt = tokenizer.encode(asked, add_special_tokens=False)
    completion = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    return RenderedRow(prompt + completion, [IGNORED] * len(prompt) + completion, len(prompt))


def joined(sequences: Sequence[RenderedRow]) -> list[RenderedRow]:
    """The sequences of a row; one that is the beginning of the next is part of it, with its loss."""
    kept: list[RenderedRow] = []
    for tokens in sequences:
        length = len(kept[-1].input_ids) if kept else 0
        if kept and tokens.input_ids[:length] == kept[-1].input_ids and length <= tokens.prompt_length:
            before = kept.pop()
            tokens = tokens._replace(labels=before.labels + tokens.labels[length:])
        kept.append(tokens)
    return kept


def unseen(text: str, row: Row) -> list[str]:
    """What a rendered prompt does not show of a row's conversation: the template dropped it."""
    missing = []
    for number, turn in enumerate(row.turns or (), 1):
        calls = json.loads(turn.tool_calls) if turn.tool_calls else []
        names = [call["function"]["name"] for call in calls]
        if not all(_in(text, told) for told in (turn.content, *names)):
            missing.append(f"turn {number} ({turn.role})")
    tools = tool_definitions(row.tools) or []
    names = [str((tool.get("function") or tool).get("name", "")) for tool in tools]
    return missing + [f"tool {name}" for name in names if not _in(text, name)]


def _in(text: str, told: str) -> bool:
    """Whether a text has another in it, as it is or inside JSON; templates trim it."""
    told = told.strip()
    escaped = json.dumps(told)[1:-1], json.dumps(told, ensure_ascii=False)[1:-1]
    return told in text or any(form in text for form in escaped)
