"""Asks a chat template for finished turns, in every form that templates know, and reads from them what stands around their texts.

The surprise: some show the reasoning only under one key, some only in content blocks, and some only in a turn that calls a tool.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from schemas.conversation import REASONING_KEYS, calls_as_text
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
PRINTED = re.compile(r"""['"]thinking['"]:\s*['"]\Z""")
"""Before the reasoning of a list of blocks that a template prints as it is."""
_TAGS = (
    "<think>\n{r}\n</think>\n\n{a}", "<think>{r}</think>{a}", "<think> \n\n\n{r}\n\n\n </think> \n\n\n\n{a}",
)  # fmt: skip
"""A content with its reasoning inside: a template that reads it writes all three alike, one that does not hands them on."""


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


def conversation(after_tool: bool) -> tuple[Messages, str | None, str]:
    """Turns that ask for an answer, their tools, and the last text in them."""
    asks: Messages = [{"role": "user", "content": QUESTION}]
    if not after_tool:
        return asks, None, QUESTION
    result = {"role": "tool", "content": RESULT, "tool_call_id": "call00001", "name": TOOL}
    return [*asks, {"role": "assistant", "content": "", "tool_calls": CALLS}, result], TOOLS, RESULT


def shown_frame(
    family: ChatFamily, turns: Messages, tools: str | None, asked: str
) -> tuple[tuple[Frame, str, Any] | None, str]:
    """The frame that finished turns show, how, and in which form; or why none does."""
    why = "its template shows no finished turn with reasoning"
    for source, form in forms():
        try:
            if frame := _frame(family, turns, tools, asked, form):
                return (frame, source, form), ""
        except Unclear as unclear:
            why = str(unclear)
    if frame := _frame_of_tags(family, turns, tools, asked):
        return (frame, "its finished turn, from tags in the content", plain_turn), ""
    try:
        if frame := _frame_of_call(family, turns):
            return (frame, "its turn that calls a tool", plain_turn), ""
    except Unclear as unclear:
        why = str(unclear)
    return None, why


def forms() -> Iterator[tuple[str, Any]]:
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


def plain_turn(_: str, answer: str) -> dict[str, Any]:
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
    if reasoning not in whole or PRINTED.search(whole.partition(reasoning)[0]):
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
                _frame(
                    family, turns, tools, asked, lambda r, a, tags=tags: plain_turn("", tags.format(r=r, a=a))
                )
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
