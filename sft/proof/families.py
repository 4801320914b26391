"""What a model family writes after its prompt, derived from its own chat template.

A template that renders a finished turn shows the marks around reasoning and answer, and the end. Asked are the last turn with
reasoning and without, the same turn in the middle of a conversation, a turn that calls a tool, and reasoning under every key and
form that templates know. The surprise: some show the reasoning only in a turn that calls a tool (Kimi-K2-Thinking), and some
never (DeepSeek-R1). What is not shown is told by `markup:`, or refused; only R1's own marks are assumed.
"""

import re
from functools import lru_cache
from typing import Any

from schemas.conversation import Turn, Turns
from schemas.errors import RenderError
from sft.proof.markup import THINK, Markup, ToldMarkup, marks_in
from sft.proof.templated import DEFAULT, Rendering, Tokenizer
from sft.proof.turns import (
    FOLLOWING,
    PRINTED,
    PROBES,
    ChatFamily,
    Frame,
    Messages,
    conversation,
    forms,
    plain_turn,
    shown_frame,
)

CLOSED = re.compile(
    r"(?:</[\w:.-]*think[\w:.-]*>|\[/THINK\]|<channel\|>|<\|END_THINKING\|>)\s*\Z", re.IGNORECASE
)
"""A closed thought at the end of a prompt."""
MENTIONS = re.compile(r"think|reasoning|thought|<\|channel|\banalysis\b", re.IGNORECASE)
SAY = "say how the model writes it with markup: (before, between), or choose a thinking variant with chat_template_kwargs"


def check_family(tokenizer: Tokenizer, rendering: Rendering = DEFAULT) -> Markup:
    """The markup of a tokenizer's family.

    Raises:
        RenderError: where it is not known, with what is missing and what to do.
    """
    name = tokenizer.name_or_path or "the tokenizer"
    if not tokenizer.chat_template:
        raise RenderError(
            f"{name}: no chat template; use an instruction-tuned model, or save one into its tokenizer"
        )
    if tokenizer.eos_token_id is None:
        raise RenderError(f"{name}: no EOS token, so the model cannot learn to stop; set eos_token")
    return markup_of(tokenizer, rendering)


def markup_of(tokenizer: Tokenizer, rendering: Rendering = DEFAULT, turns: Turns | None = None) -> Markup:
    """The markup of the turn that follows a conversation; one of a tool's result may be opened otherwise.

    Raises:
        RenderError: where it is not known.
    """
    last = turns[-1] if turns else None
    role = last.role if isinstance(last, Turn) else (last or {}).get("role")
    return derive(ChatFamily(tokenizer, rendering), role == "tool")


@lru_cache(maxsize=64)
def derive(family: ChatFamily, after_tool: bool = False) -> Markup:
    """The markup of a family's turns, after a question or after a tool's result.

    Raises:
        RenderError: where the template does not show it, and nothing is told or can be assumed.
    """
    turns, tools, text = conversation(after_tool)
    asked = family.prompt(turns, tools)
    if text not in asked:
        raise RenderError(f"{family.name}: its chat template does not show the question; repair the template")
    if CLOSED.search(asked):
        raise RenderError(
            f"{family.name}: its template closes the think block in the prompt, so reasoning cannot be trained; "
            "use its thinking variant, such as chat_template_kwargs: {enable_thinking: true}"
        )
    opening = asked.rpartition(text)[2]
    found, why = shown_frame(family, turns, tools, asked)
    if family.told:
        markup = _told(family, family.told, found, turns, tools, asked)
    elif found:
        before, between, _ = found[0]
        markup = Markup(before, between, _bare(family, turns, tools, asked, before, between), source=found[1])
    else:
        markup = _assumed(family, turns, tools, asked, why)
    tail = markup.tail or _tail(family, turns, tools, found[2] if found else plain_turn)
    if family.told and family.told.tail is not None:
        tail = family.told.tail
    if family.eos in markup.before + markup.between + markup.bare:
        raise RenderError(
            f"{family.name}: its EOS token {family.eos!r} stands inside the turn, before the answer, so inference would stop there; "
            "set the tokenizer's eos_token to one that only ends a turn"
        )
    return markup._replace(tail=tail, opening=opening)


def end_of_turn(family: ChatFamily) -> str | None:
    """The mark that ends a turn of a template, where its EOS token is not known; null where no mark does."""
    turns, tools, text = conversation(False)
    _, answer = PROBES[0]
    last = family.finished([*turns, plain_turn("", answer)], tools).rpartition(answer)[2]
    more = [*turns, plain_turn("", answer), {"role": "user", "content": FOLLOWING}]
    middle = family.finished(more, tools).rpartition(answer)[2].partition(FOLLOWING)[0]
    before = family.prompt(turns, tools).partition(text)[0]
    if last.strip():
        shared = _shared(last, middle)
        marks = marks_in(shared) or marks_in(last) or shared.split()[:1]
    else:
        opening = _shared(middle[::-1], before[::-1])[::-1]
        marks = marks_in(middle.removesuffix(opening))
    return marks[-1] if marks else None


def _bare(
    family: ChatFamily, turns: Messages, tools: str | None, asked: str, before: str, between: str
) -> str:
    """What stands before an answer without reasoning: as the template writes it, else a closed, empty think block."""
    leads = set()
    for _, answer in PROBES:
        whole = family.finished([*turns, plain_turn("", answer)], tools)
        if not whole.startswith(asked) or answer not in whole:
            return before + between
        leads.add(whole[len(asked) :].partition(answer)[0])
    lead = leads.pop() if len(leads) == 1 else before + between
    # a thought that the prompt opens has to be closed
    return lead if before.strip() or lead.strip() else before + between


def _told(
    family: ChatFamily,
    told: ToldMarkup,
    found: tuple[Frame, str, Any] | None,
    turns: Messages,
    tools: str | None,
    asked: str,
) -> Markup:
    """The markup as it is told, which must not contradict what the template shows."""
    before = _unopened(told.before, asked)
    if found and found[0][:2] != (before, told.between):
        raise RenderError(
            f"{family.name}: markup says {before!r} and {told.between!r} around the reasoning, but the template writes {found[0].before!r} "
            f"and {found[0].between!r} after its prompt; leave markup out, or repair it"
        )
    for _, form in forms():
        whole = family.finished([*turns, form(*PROBES[0])], tools)
        lead, shown, rest = whole.partition(PROBES[0][0])
        if shown and not PRINTED.search(lead) and not rest.startswith(told.between + PROBES[0][1]):
            written = rest.partition(PROBES[0][1])[0]
            raise RenderError(
                f"{family.name}: markup says {told.between!r} between reasoning and answer, but the template writes {written!r}; repair it"
            )
    if told.bare is not None:
        bare = told.bare
    elif (
        told.tail is not None
    ):  # what the template writes without reasoning lacks the beginning that goes with this end
        bare = before + told.between
    else:
        bare = _bare(family, turns, tools, asked, before, told.between)
    return Markup(before, told.between, bare, source="told by markup")


def _unopened(before: str, asked: str) -> str:
    """The part of the opening marks that the prompt does not end in; line breaks alone are no part of them."""
    for size in range(len(before), 0, -1):
        if before[:size].strip() and asked.endswith(before[:size]):
            return before[size:]
    return before


def _assumed(family: ChatFamily, turns: Messages, tools: str | None, asked: str, why: str) -> Markup:
    """R1's marks: for a template that says nothing of thinking, or drops what R1 thinks."""
    opened = asked.endswith(THINK.before)
    _, answer = PROBES[0]
    whole = family.finished([*turns, plain_turn("", answer)], tools)
    if opened and not (whole.startswith(asked) and answer in whole):
        return Markup(
            "", THINK.between, THINK.between, source="assumed: R1's, whose reasoning the template drops"
        )
    if opened or MENTIONS.search(family.template):
        raise RenderError(
            f"{family.name}: {why}, so a guess could train on other tokens than the model writes; {SAY}"
        )
    return THINK._replace(source="assumed: R1's, as the template says nothing of reasoning")


def _tail(family: ChatFamily, turns: Messages, tools: str | None, form: Any) -> str:
    """What stands between an answer and EOS: at the end of the last turn, or of the same turn in the middle.

    Raises:
        RenderError: if another token than EOS ends the turn.
    """
    reasoning, answer = PROBES[0]
    turn = form(reasoning, answer)
    whole = family.finished([*turns, turn], tools)
    last = whole.rpartition(answer)[2] if answer in whole else ""
    middle = family.finished([*turns, turn, {"role": "user", "content": FOLLOWING}], tools)
    middle = middle.rpartition(answer)[2].partition(FOLLOWING)[0] if answer in middle else ""
    for text in (last, middle):
        tail, ends, _ = text.partition(family.eos)
        if ends and (not tail.strip() or (text is last and middle.startswith(tail + family.eos))):
            return tail
        if text.strip() and text is last:
            raise RenderError(
                f"{family.name}: its template ends a turn with {text.strip()!r}, but the EOS token is {family.eos!r}, so inference would not "
                "stop where training ends; set the tokenizer's eos_token to the end of a turn"
            )
    return ""  # the next turn's first token ends it, or nothing is shown


def _shared(one: str, other: str) -> str:
    """The beginning that two texts share."""
    size = next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    return one[:size]
