"""Splits a model's output into reasoning and answer, or says why it cannot be split; nothing else in the project does.

The surprise is what counts as valid: R1 output often has only `</think>`, because the chat template already wrote the
opening tag. Tags inside code blocks are no exception: chat templates and servers split at the first `</think>` wherever
it is, so a trace that quotes the tag would be split at the wrong place at training time.
"""

from typing import NamedTuple

OPEN, CLOSE = "<think>", "</think>"
MARKERS = {
    "<|begin_of_thought|>": OPEN,
    "<|end_of_thought|>": CLOSE,
    "<|begin_of_solution|>": "",
    "<|end_of_solution|>": "",
}
"""The tags of the open-thoughts family and their equivalents."""

LOOP_WINDOW = 24
"""Code points that must recur for a loop to be suspected."""
LOOP_PERIOD = 600
"""The longest repeated unit, in code points, that is detected."""
LOOP_REACH = LOOP_PERIOD + LOOP_WINDOW
LOOP_REPEATS = 6
LOOP_LENGTH = 240
"""A shorter repetition is not a loop: rulers, tables and laughter repeat too."""
LOOP_SHARE = 1 / 3
"""Minimum share of the text that a loop covers."""


class Split(NamedTuple):
    """The two fields of a response."""

    reasoning: str
    answer: str


class Fault(NamedTuple):
    """Why a row cannot be used."""

    reason: str
    """Category for the counts, such as "no_think"."""
    detail: str
    """What is wrong, for people; quotes no text of the row."""


def split(text: str, finish_reason: str | None = None) -> Split | Fault:
    """Split a response into reasoning and answer.

    Args:
        text: everything the model wrote, with or without the opening think tag.
        finish_reason: why generation ended; "length" means that it was truncated.

    Returns:
        The two fields, without tags and without the line breaks around the tags; or the fault (truncated, no_think,
        unclosed, text_before_think, several, empty_answer, loop).
    """
    if finish_reason == "length":
        return _truncated()
    before, close, after = text.partition(CLOSE)
    if not close:
        if any(marker in text for marker in MARKERS):
            return split(_plain_tags(text), finish_reason)
        if OPEN in text:
            return Fault("unclosed", f"{OPEN} is never closed; the text ends inside the reasoning")
        return Fault("no_think", f"neither {OPEN} nor {CLOSE} is in the text")
    lead, opened, reasoning = before.partition(OPEN)
    if not opened:
        reasoning = before
    elif lead and not lead.isspace():
        return Fault("text_before_think", f"{len(lead)} characters come before {OPEN}")
    return separate(reasoning.strip("\r\n"), after.strip("\r\n"))


def separate(reasoning: str, answer: str, finish_reason: str | None = None) -> Split | Fault:
    """Check reasoning and answer that are already separate.

    Returns:
        The two fields (a reasoning of nothing but white space becomes ""), or the fault (truncated, several,
        empty_answer, loop).
    """
    if finish_reason == "length":
        return _truncated()
    if not answer or answer.isspace():
        return Fault("empty_answer", "nothing follows the reasoning")
    if fault := _field_fault("reasoning", reasoning) or _field_fault("answer", answer):
        return fault
    return Split("" if reasoning.isspace() else reasoning, answer)


def _field_fault(name: str, text: str) -> Fault | None:
    if "think>" in text and (OPEN in text or CLOSE in text):
        return Fault("several", f"the {name} contains another think tag")
    if len(text) >= LOOP_LENGTH and (unit := loop_length(text)):
        return Fault("loop", f"the {name} repeats the same {unit} characters over and over")
    return None


def loop_length(text: str) -> int:
    """Length of the unit that a text degenerates into repeating, in code points; 0 for ordinary text.

    A loop is the same unit of at most 600 code points at least 6 times back to back, over at least 240 code points
    and a third of the text. Two bounded searches detect it, so the cost does not grow with the text: they always find a
    loop in the last third and one that covers half of the text.
    """
    find, size = text.find, len(text)
    for start in (size * 3 // 8, size * 3 // 4):
        again = find(text[start : start + LOOP_WINDOW], start + 1, start + LOOP_REACH)
        if again > 0:
            length = _repeated_length(text, start, again - start)
            if length >= max(LOOP_LENGTH, LOOP_REPEATS * (again - start), LOOP_SHARE * size):
                return again - start
    return 0


def _repeated_length(text: str, start: int, unit: int) -> int:
    block = text[start : start + unit]
    first, last = start, start + unit
    while first >= unit and text.startswith(block, first - unit):
        first -= unit
    while text.startswith(block, last):
        last += unit
    return last - first


def _truncated() -> Fault:
    return Fault("truncated", "the model ran into its token limit (finish_reason is length)")


def _plain_tags(text: str) -> str:
    for marker, tag in MARKERS.items():
        text = text.replace(marker, tag)
    return text
