"""What a model family writes after its prompt, derived from its own chat template.

A template that renders a finished turn shows the marks around reasoning and answer, and the end. Asked are the last turn with
reasoning and without, the same turn in the middle of a conversation, a turn that calls a tool, and reasoning under every key and
form that templates know. The surprise: some show the reasoning only in a turn that calls a tool (Kimi-K2-Thinking), and some
never (DeepSeek-R1). What is not shown is told by `markup:`, or refused; only R1's own marks are assumed.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from schemas.conversation import REASONING_KEYS, Turn, Turns, calls_as_text
from schemas.errors import RenderError
from sft.proof.markup import THINK, Markup, ToldMarkup
from sft.proof.templated import DEFAULT, Rendering, Tokenizer, Unrenderable, templated

Messages = list[dict[str, Any]]
PROBES = (('Well, qrs one.\n\nThen "two" & é.', "Yes vwx:\n- three\n- four"), ("So klm.", "No mnp"))
"""Reasoning and answer of the turns that a template is asked to write."""
QUESTION, FOLLOWING, RESULT = "Which ghj?", "And then, zxc?", "The result bnm"
TOOL = "lookup_xyz"
TOOLS = json.dumps(
    [{"type": "function", "function": {"name": TOOL, "description": "Looks up.", "parameters": {"type": "object", "properties": {"key": {"type": "string"}}}}}]
)  # fmt: skip
CALLS = [{"id": "call00001", "type": "function", "function": {"name": TOOL, "arguments": {"key": "k"}}}]
_CLOSED = re.compile(
    r"(?:</[\w:.-]*think[\w:.-]*>|\[/THINK\]|<channel\|>|<\|END_THINKING\|>)\s*\Z", re.IGNORECASE
)
"""A closed thought at the end of a prompt."""
_MENTIONS = re.compile(r"think|reasoning|thought|<\|channel|\banalysis\b", re.IGNORECASE)
_PRINTED = re.compile(r"""['"]thinking['"]:\s*['"]\Z""")
"""Before the reasoning of a list of blocks that a template prints as it is."""
_TAGS = (
    "<think>\n{r}\n</think>\n\n{a}", "<think>{r}</think>{a}", "<think> \n\n\n{r}\n\n\n </think> \n\n\n\n{a}",
)  # fmt: skip
"""A content with its reasoning inside: a template that reads it writes all three alike, one that does not hands them on."""
SAY = "say how the model writes it with markup: (before, between), or choose a thinking variant with chat_template_kwargs"


class Frame(NamedTuple):
    """What stands around the texts of a finished turn."""

    before: str
    between: str
    after: str
    """From the answer to the end."""


class Unclear(Exception):
    """A form of a turn from which nothing can be derived, and why."""


class ChatFamily:
    """A tokenizer's template with what it is given; equal ones give equal turns."""

    def __init__(self, tokenizer: Tokenizer, rendering: Rendering = DEFAULT) -> None:
        self._tokenizer, self._rendering = tokenizer, rendering
        self.name = str(tokenizer.name_or_path or "the tokenizer")
        self.eos = str(tokenizer.eos_token)
        self.template = str(tokenizer.chat_template)
        self.told = rendering.markup
        given = [
            self.template,
            {k: str(v) for k, v in tokenizer.special_tokens_map.items()},
            rendering.settings,
        ]
        self._key = (self.name, json.dumps(given, sort_keys=True, default=str), self.told)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChatFamily) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def prompt(self, turns: Messages, tools: str | None = None) -> str:
        """The prompt of inference."""
        return templated(self._tokenizer, turns, tools, self._rendering)

    def finished(self, turns: Messages, tools: str | None = None) -> str:
        """A conversation whose last turn is finished; "" where the template cannot write it."""
        try:
            return templated(self._tokenizer, turns, tools, self._rendering, add_generation_prompt=False)
        except Unrenderable:
            return ""


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
    turns, tools, text = _conversation(after_tool)
    asked = family.prompt(turns, tools)
    if text not in asked:
        raise RenderError(f"{family.name}: its chat template does not show the question; repair the template")
    if _CLOSED.search(asked):
        raise RenderError(
            f"{family.name}: its template closes the think block in the prompt, so reasoning cannot be trained; "
            "use its thinking variant, such as chat_template_kwargs: {enable_thinking: true}"
        )
    opening = asked.rpartition(text)[2]
    found, why = _shown(family, turns, tools, asked)
    if family.told:
        markup = _told(family, family.told, found, turns, tools, asked)
    elif found:
        before, between, _ = found[0]
        markup = Markup(before, between, _bare(family, turns, tools, asked, before, between), source=found[1])
    else:
        markup = _assumed(family, turns, tools, asked, why)
    tail = markup.tail or _tail(family, turns, tools, found[2] if found else _plain)
    if family.told and family.told.tail is not None:
        tail = family.told.tail
    return markup._replace(tail=tail, opening=opening)


def _conversation(after_tool: bool) -> tuple[Messages, str | None, str]:
    """Turns that ask for an answer, their tools, and the last text in them."""
    asks: Messages = [{"role": "user", "content": QUESTION}]
    if not after_tool:
        return asks, None, QUESTION
    result = {"role": "tool", "content": RESULT, "tool_call_id": "call00001", "name": TOOL}
    return [*asks, {"role": "assistant", "content": "", "tool_calls": CALLS}, result], TOOLS, RESULT


def _shown(
    family: ChatFamily, turns: Messages, tools: str | None, asked: str
) -> tuple[tuple[Frame, str, Any] | None, str]:
    """The frame that finished turns show, how, and in which form; or why none does."""
    why = "its template shows no finished turn with reasoning"
    for source, form in _forms():
        try:
            if frame := _frame(family, turns, tools, asked, form):
                return (frame, source, form), ""
        except Unclear as unclear:
            why = str(unclear)
    if frame := _frame_of_tags(family, turns, tools, asked):
        return (frame, "its finished turn, from tags in the content", _plain), ""
    try:
        if frame := _frame_of_call(family, turns):
            return (frame, "its turn that calls a tool", _plain), ""
    except Unclear as unclear:
        why = str(unclear)
    return None, why


def _forms() -> Iterator[tuple[str, Any]]:
    """The forms in which templates take a turn with reasoning."""
    yield (
        "its finished turn",
        lambda r, a: {"role": "assistant", "content": a, **dict.fromkeys(REASONING_KEYS, r)},
    )
    for key in REASONING_KEYS:
        yield "its finished turn", lambda r, a, key=key: {"role": "assistant", "content": a, key: r}
    yield (
        "its finished turn, from content blocks",
        lambda r, a: {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": r}, {"type": "text", "text": a}],
        },
    )


def _plain(_: str, answer: str) -> dict[str, Any]:
    return {"role": "assistant", "content": answer}


def _frame(family: ChatFamily, turns: Messages, tools: str | None, asked: str, form: Any) -> Frame | None:
    """The frame of a form, the same for every text; null where the template leaves the reasoning out."""
    frames = {_one_frame(family.finished([*turns, form(r, a)], tools), asked, r, a) for r, a in PROBES}
    if len(frames) != 1:
        raise Unclear("what its template writes around reasoning and answer depends on their text")
    (frame,) = frames
    if frame and not frame.between.strip():
        raise Unclear("its template writes no mark between reasoning and answer")
    return frame


def _one_frame(whole: str, asked: str, reasoning: str, answer: str) -> Frame | None:
    if reasoning not in whole or _PRINTED.search(whole.partition(reasoning)[0]):
        return None
    if not whole.startswith(asked):
        raise Unclear(
            f"its finished turn does not begin with the prompt of inference: it has {_end(whole, reasoning)!r} where "
            f"the prompt ends in {asked[-30:]!r}"
        )
    before, _, rest = whole[len(asked) :].partition(reasoning)
    between, found, after = rest.partition(answer)
    if not found or reasoning in rest:
        raise Unclear("its template does not write the reasoning once and then the answer")
    return Frame(before, between, after)


def _end(whole: str, text: str) -> str:
    return whole.partition(text)[0][-30:]


def _frame_of_tags(family: ChatFamily, turns: Messages, tools: str | None, asked: str) -> Frame | None:
    frames = set()
    for tags in _TAGS:
        try:
            frames.add(
                _frame(family, turns, tools, asked, lambda r, a, tags=tags: _plain("", tags.format(r=r, a=a)))
            )
        except Unclear:
            return None
    return frames.pop() if len(frames) == 1 else None


def _frame_of_call(family: ChatFamily, turns: Messages) -> Frame | None:
    """The frame of a turn that calls a tool: up to its content, or up to the call where the content stands elsewhere."""
    try:
        asked = family.prompt(turns, TOOLS)
    except Unrenderable:
        return None
    return _frame_of(CALLS, family, turns, asked) or _frame_of(calls_as_text(CALLS), family, turns, asked)


def _frame_of(calls: list[dict[str, Any]], family: ChatFamily, turns: Messages, asked: str) -> Frame | None:
    frames: set[Frame | None] = set()
    for reasoning, answer in PROBES:
        called = {"role": "assistant", "content": answer, "tool_calls": calls}
        thought = dict.fromkeys(REASONING_KEYS, reasoning)
        frame = _one_frame(family.finished([*turns, called | thought], TOOLS), asked, reasoning, answer)
        if frame and TOOL in frame.between:
            whole, without = (
                family.finished([*turns, called | {"content": ""} | more], TOOLS) for more in (thought, {})
            )
            frame = _up_to_the_call(whole, without, asked, reasoning)
        frames.add(frame)
    (frame,) = frames if len(frames) == 1 else (None,)
    return frame if frame and frame.between.strip() else None


def _up_to_the_call(whole: str, without: str, asked: str, reasoning: str) -> Frame | None:
    before, _, rest = whole[len(asked) :].partition(reasoning)
    call = without.removeprefix(asked)
    if not (whole.startswith(asked) and without.startswith(asked) and TOOL in call and rest.endswith(call)):
        return None
    return Frame(before, rest.removesuffix(call), "")


def _bare(
    family: ChatFamily, turns: Messages, tools: str | None, asked: str, before: str, between: str
) -> str:
    """What stands before an answer without reasoning: as the template writes it, else a closed, empty think block."""
    leads = set()
    for _, answer in PROBES:
        whole = family.finished([*turns, _plain("", answer)], tools)
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
    for _, form in _forms():
        whole = family.finished([*turns, form(*PROBES[0])], tools)
        lead, shown, rest = whole.partition(PROBES[0][0])
        if shown and not _PRINTED.search(lead) and not rest.startswith(told.between + PROBES[0][1]):
            written = rest.partition(PROBES[0][1])[0]
            raise RenderError(
                f"{family.name}: markup says {told.between!r} between reasoning and answer, but the template writes {written!r}; repair it"
            )
    bare = _bare(family, turns, tools, asked, before, told.between) if told.bare is None else told.bare
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
    whole = family.finished([*turns, _plain("", answer)], tools)
    if opened and not (whole.startswith(asked) and answer in whole):
        return Markup(
            "", THINK.between, THINK.between, source="assumed: R1's, whose reasoning the template drops"
        )
    if opened or _MENTIONS.search(family.template):
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
    more: Sequence[Mapping[str, Any]] = [*turns, turn, {"role": "user", "content": FOLLOWING}]
    middle = family.finished([dict(one) for one in more], tools)
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
