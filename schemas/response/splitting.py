"""Splits a model's output into reasoning and answer, or says why it cannot be split.

The surprise is what counts as valid: R1 output often has only `</think>`, because the chat template already wrote the
opening tag. Tags inside code blocks are no exception: chat templates and servers split at the first `</think>` wherever
it is, so a trace that quotes the tag would be split at the wrong place at training time.
"""

import re
from typing import NamedTuple

from schemas.response.channels import Channels, read_channels
from schemas.response.fault import Fault, Split
from schemas.response.finish import finish_fault
from schemas.response.loops import LOOP_LENGTH, loop_length
from schemas.response.markups import (
    CLOSE,
    FAMILIES,
    OPEN,
    find_tail,
    first_mark,
    marks_of,
    may_call,
    may_have_mark,
    may_head,
    may_start,
    patterns,
)

BREAKS = "\r\n"
TAIL_REACH = 200
"""Code points at the end of a turn that may hold its end-of-turn tokens."""


class ReadResponse(NamedTuple):
    """All there is in a response, whatever its state."""

    reasoning: str
    """"" if there is none; the whole text where no boundary can be told."""
    answer: str
    """"" if there is none."""
    fault: Fault | None
    """Null for a reasoning followed by an answer."""

    @property
    def state(self) -> str:
        """ "closed", or the fault's reason."""
        return self.fault.reason if self.fault else "closed"


def split(text: str, finish_reason: str | None = None) -> Split | Fault:
    """Split a response into reasoning and answer.

    Args:
        text: everything the model wrote, with or without the opening think tag, in any known markup.
        finish_reason: why generation ended, in the words of any API; null if nobody says.

    Returns:
        The two fields, without tags and without the line breaks around the tags; or the fault: truncated, blocked or cut (see
        `finish_fault`), no_think, unknown_markup, unclosed, text_before_think, several, empty_answer, tool_call, loop.
    """
    found = read(text, finish_reason)
    return found.fault or Split(found.reasoning, found.answer)


def read(text: str, finish_reason: str | None = None) -> ReadResponse:
    """Read a response; as `split`, but with what there is of it when it has a fault."""
    found = _checked(_parted(text))
    if fault := finish_fault(finish_reason):
        return found._replace(fault=fault)
    return found


def separate(reasoning: str, answer: str, finish_reason: str | None = None) -> Split | Fault:
    """Check reasoning and answer that are already separate.

    A reasoning that stands in its own tags loses them. An answer that still has its reasoning inside is split, if the separate
    reasoning is empty or the same.

    Returns:
        The two fields (a reasoning of nothing but white space becomes ""), or the fault, as of `split`, and
        two_reasonings for a reasoning inside the answer that differs.
    """
    if finish_reason is None and _is_usual(reasoning, answer):
        return Split(reasoning, answer)
    found = read_separate(reasoning, answer, finish_reason)
    return found.fault or Split(found.reasoning, found.answer)


def _is_usual(reasoning: str, answer: str) -> bool:
    """Whether two texts are sure to be a reasoning and an answer as they stand; most are, and it takes a third of the time to see it."""
    return (
        _is_plain(answer)
        and answer[-1] != ">"
        and not answer[-1].isspace()
        and not may_start(reasoning)
        and not ("<" in reasoning and "think>" in reasoning)
        and not reasoning.isspace()
        and (len(reasoning) < LOOP_LENGTH or not loop_length(reasoning))
        and (len(answer) < LOOP_LENGTH or not loop_length(answer))
    )


def read_separate(reasoning: str, answer: str, finish_reason: str | None = None) -> ReadResponse:
    """As `separate`, but with what there is when it has a fault."""
    found = _checked(_joined(reasoning, answer))
    if fault := finish_fault(finish_reason):
        return found._replace(fault=fault)
    return found


def _joined(reasoning: str, answer: str) -> ReadResponse:
    if _is_plain(answer):
        return ReadResponse(_without_tags(reasoning), answer, None)
    reasoning = _without_tags(reasoning)
    inside = _parted(answer)
    if inside.state == "no_think":
        return ReadResponse(reasoning, inside.answer, None)
    if not reasoning or reasoning.isspace():
        return inside._replace(reasoning=inside.reasoning or reasoning)
    if inside.state == "closed":
        if reasoning.split() == inside.reasoning.split() or not inside.reasoning.strip():
            return ReadResponse(reasoning, inside.answer, None)
        if not inside.answer.strip():
            return ReadResponse(reasoning, answer, _several("answer"))
        return ReadResponse(
            reasoning,
            answer,
            Fault("two_reasonings", "the answer holds a reasoning of its own, and another one"),
        )
    if _has_think_tag(answer) or patterns().start.match(_bare(answer)):
        return ReadResponse(reasoning, answer, _several("answer"))
    if inside.state == "unknown_markup" and not patterns().unknown_heading.match(_bare(answer)):
        return ReadResponse(reasoning, answer, inside.fault)
    return ReadResponse(reasoning, _bare(answer), None)


def _is_plain(answer: str) -> bool:
    """Whether an answer is sure to be `no_think`, and all of it an answer; most are, and it takes a quarter of the time to see it."""
    first = answer[:1]
    return (
        first.isascii()
        and first.isalnum()
        and not answer.startswith(("analysis", "assistantanalysis"))  # gpt-oss's channels may begin so
        and not may_have_mark(answer)
        and not (
            may_head(answer) and (patterns().start.match(answer) or patterns().unknown_heading.match(answer))
        )
    )


def _without_tags(reasoning: str) -> str:
    """A separate reasoning without the tags that it may stand in."""
    if not may_start(reasoning):
        return reasoning
    text = reasoning.strip()
    start = patterns().start.match(text)
    if start is None:
        return reasoning
    marks = marks_of(_number(start), text)
    last = marks[-1]
    if len(marks) == 2 and last["o"] is None and last.end() == len(text):
        return text[start.end() : last.start()].strip(BREAKS)
    return reasoning


def _parted(text: str) -> ReadResponse:
    """A response in parts, by the markup at its beginning or else by the first mark anywhere."""
    if text.startswith(OPEN) and (usual := _in_one_tag(text)):
        return usual
    text = _bare(text)
    if channels := read_channels(text):
        return _of_channels(channels)
    if start := patterns().start.match(text):
        number = _number(start)
        marks = marks_of(number, text, start.end())
        return _between(text, start.end(), marks, FAMILIES[number].name)
    tag, heading = patterns().unknown_tag.match(text), patterns().unknown_heading.match(text)
    first = first_mark(text)
    if first and first.lastgroup:
        if first.lastgroup.startswith("c"):
            marks = marks_of(_number(first), text)
            return _between(text, 0, marks, FAMILIES[_number(first)].name)
        return _behind_text(text, first)
    if tag or heading or first:
        return ReadResponse(
            text, "", Fault("unknown_markup", "what looks like a reasoning is in a markup that is not known")
        )
    if not text or text.isspace():
        return ReadResponse("", text, _empty())
    return ReadResponse(
        "",
        _unwrapped(text),
        Fault("no_think", f"neither {OPEN} nor {CLOSE} nor any other known mark is in the text"),
    )


def _in_one_tag(text: str) -> ReadResponse | None:
    """A response whose only `<` are those of its think tags, as most are; null for any other, and it takes a tenth of the time to see it."""
    end = text.find("<", 1)
    behind = end + len(CLOSE)
    if end < 0 or text[end:behind] != CLOSE or text.find("<", behind) >= 0:
        return None
    if find_tail(text, max(0, len(text) - TAIL_REACH)):
        return None
    return ReadResponse(text[len(OPEN) : end].strip(BREAKS), text[behind:].strip(BREAKS), None)


def _bare(text: str) -> str:
    """A turn without role tokens before it and end-of-turn tokens behind it."""
    lead = patterns().lead.match(text)
    begin = lead.end() if lead else 0
    if not text[:begin].strip():  # white space alone is the text's own, unless a mark follows
        begin = begin if patterns().start.match(text, begin) or text.startswith("<|", begin) else 0
    reach = max(begin, len(text) - TAIL_REACH)
    tail = find_tail(text, reach)
    return text[begin : tail.start() if tail else len(text)]


def _number(match: "re.Match[str]") -> int:
    return int((match.lastgroup or "")[1:])


def _between(text: str, begin: int, marks: "list[re.Match[str]]", name: str) -> ReadResponse:
    """A response whose reasoning starts at `begin`; `marks` are those of its family from there on."""
    while marks and marks[0]["o"] and not text[begin : marks[0].start()].strip():
        begin = marks.pop(0).end()  # the template opened it, and the model once more
    closing = next((n for n, mark in enumerate(marks) if mark["o"] is None), None)
    if closing is None:
        return ReadResponse(
            text[begin:].strip(BREAKS),
            "",
            Fault("unclosed", f"the reasoning is never closed ({name}); the text ends inside"),
        )
    end, behind = marks[closing].start(), marks[closing].end()
    others = marks[:closing] + marks[closing + 1 :]
    while others and closing == 0 and others[0]["o"] is None and not text[behind : others[0].start()].strip():
        behind = others.pop(0).end()
    reasoning, answer = text[begin:end].strip(BREAKS), text[behind:].strip(BREAKS)
    if others:
        where = "reasoning" if closing else "answer"
        return ReadResponse(text, "", Fault("several", f"the {where} contains another think tag"))
    return ReadResponse(reasoning, _unwrapped(answer), None)


def _behind_text(text: str, first: "re.Match[str]") -> ReadResponse:
    marks = marks_of(_number(first), text, first.end())
    if all(mark["o"] for mark in marks):
        name = FAMILIES[_number(first)].name
        return ReadResponse(
            text, "", Fault("unclosed", f"a reasoning is never closed ({name}); the text ends inside")
        )
    return ReadResponse(
        text, "", Fault("text_before_think", f"{first.start()} characters come before the reasoning")
    )


def _of_channels(channels: Channels) -> ReadResponse:
    thoughts, answer, calls = channels
    if calls:
        return ReadResponse("\n\n".join(thoughts[:-1]), "", _tool_call())
    if answer is None:
        return ReadResponse(
            "\n\n".join(thoughts),
            "",
            Fault("unclosed", "the channel final is never reached; the text ends inside the reasoning"),
        )
    if not thoughts:
        return ReadResponse(
            "", answer, Fault("no_think", "the turn has no channel but final") if answer.strip() else _empty()
        )
    if len(thoughts) > 1:
        return ReadResponse(
            "\n\n".join(thoughts), "", Fault("several", "the turn has several messages before its answer")
        )
    return ReadResponse(thoughts[0].strip(BREAKS), answer.strip(BREAKS), None)


def _unwrapped(answer: str) -> str:
    """An answer without the answer tag around it."""
    if not answer.lstrip().startswith("<") and not answer.rstrip().endswith(">"):
        return answer
    for wrapped, tag in zip(patterns().wrapped, patterns().answer_tag, strict=True):
        if (found := wrapped.match(answer)) and not tag.search(found["answer"]):
            return found["answer"].strip(BREAKS)
        marks = list(tag.finditer(answer))
        if len(marks) == 1 and marks[0]["end"] and not answer[marks[0].end() :].strip():
            return answer[: marks[0].start()].strip(BREAKS)
    return answer


def _checked(found: ReadResponse) -> ReadResponse:
    """The reading with the fault that its texts have; a reasoning of nothing but white space becomes ""."""
    reasoning, answer, fault = found
    if fault:
        return found
    fault = _field_faults(reasoning, answer)
    return ReadResponse("" if reasoning.isspace() else reasoning, answer, fault)


def _field_faults(reasoning: str, answer: str) -> Fault | None:
    if not answer or answer.isspace():
        return _empty()
    for name, text in (("reasoning", reasoning), ("answer", answer)):
        if _has_think_tag(text) or (may_start(text) and patterns().start.match(text.lstrip())):
            return _several(name)
        if len(text) >= LOOP_LENGTH and (unit := loop_length(text)):
            return Fault("loop", f"the {name} repeats the same {unit} characters over and over")
    if may_call(answer) and (
        patterns().call.match(answer) or patterns().call_end.search(answer, max(0, len(answer) - 100))
    ):
        return _tool_call()
    return None


def _has_think_tag(text: str) -> bool:
    return "<" in text and "think>" in text and (OPEN in text or CLOSE in text)


def _several(name: str) -> Fault:
    return Fault("several", f"the {name} contains another think tag")


def _empty() -> Fault:
    return Fault("empty_answer", "nothing follows the reasoning")


def _tool_call() -> Fault:
    return Fault("tool_call", "the turn ends in a call of a tool, which is no answer")
