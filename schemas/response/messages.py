"""An assistant's message, as any API or file writes it: reasoning, answer, refusal and calls of tools, wherever they stand.

Present is not filled: null, "" and white space are nothing, and the first place *with text* counts. Two places with different
reasonings are a fault, since nobody can say which was meant.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from schemas.response.fault import Fault
from schemas.response.splitting import ReadResponse, read, read_separate

REASONING_KEYS = (
    "reasoning", "reasoning_content", "thinking", "reasoning_details", "thinking_blocks", "reasoning_text", "thought",
    "thoughts",
)  # fmt: skip
"""Where a message may have its reasoning."""
CONTENT_KEYS = ("content", "value", "text", "parts")
CALL_KEYS = ("tool_calls", "function_call", "functionCall", "tool_call")
READ = frozenset((*REASONING_KEYS, *CONTENT_KEYS, *CALL_KEYS, "refusal", "role", "from"))
"""Keys of a message that are read here; others are beside."""
THOUGHTS = frozenset(
    {
        "thinking",
        "reasoning",
        "thought",
        "reasoning.text",
        "reasoning.summary",
        "reasoning_text",
        "summary_text",
    }
)
TEXTS = frozenset({"text", "output_text", "input_text", ""})
CALLS = frozenset(
    {
        "tool_use",
        "tool_call",
        "tool-call",
        "function_call",
        "functionCall",
        "server_tool_use",
        "toolUse",
        "tool_calls",
    }
)
HIDDEN = frozenset({"redacted_thinking", "reasoning.encrypted", "redacted-reasoning"})
DEPTH = 4
"""Lists inside parts that are followed."""


class MessageParts(NamedTuple):
    """What a message says."""

    reasonings: tuple[str, ...]
    """The different reasonings of its own places; at most one in a sound message."""
    content: str
    """Its text, perhaps with a reasoning inside."""
    refusal: str
    """The refusal where the API has a field for it."""
    calls: bool
    """Whether it calls tools."""
    hidden: bool
    """Whether a part of the reasoning is encrypted."""


class _MessageTexts(NamedTuple):
    thoughts: list[str]
    texts: list[str]
    refusals: list[str]
    flags: set[str]


class WrongPart(ValueError):
    """A message holds what is neither text, reasoning nor a call."""


def read_message(message: Mapping[str, Any], finish_reason: str | None = None) -> ReadResponse:
    """Read an assistant's message into reasoning and answer.

    Returns:
        What there is of both, with the fault of `split`, or two_reasonings, tool_call, hidden_reasoning.

    Raises:
        WrongPart: if it has parts that are not text.
    """
    found = parts_of(message)
    joined = "\n\n".join(found.reasonings)
    if found.calls:
        return ReadResponse(
            joined, found.content, Fault("tool_call", "the turn ends in a call of a tool, which is no answer")
        )
    if len(found.reasonings) > 1:
        return ReadResponse(
            joined,
            found.content,
            Fault("two_reasonings", "two fields have different reasonings; both are kept here"),
        )
    if found.hidden:
        return ReadResponse(
            joined, found.content, Fault("hidden_reasoning", "a part of the reasoning is encrypted")
        )
    answer = found.content if found.content.strip() else found.refusal
    if joined or any(
        message.get(key) == "" for key in REASONING_KEYS
    ):  # "" is a reasoning that was switched off
        return read_separate(joined, answer, finish_reason)
    return read(answer, finish_reason)


def parts_of(message: Mapping[str, Any]) -> MessageParts:
    """What a message says; raises as `read_message` does."""
    content = _parts(next((message[key] for key in CONTENT_KEYS if filled(message.get(key))), None))
    reasonings = ["\n\n".join(content.thoughts)] if content.thoughts else []
    flags = set(content.flags)
    for key in REASONING_KEYS:
        if filled(message.get(key)):
            parts = _parts(message[key])
            flags |= parts.flags - {"call"}
            reasonings.append("\n\n".join([*parts.thoughts, *parts.texts]))
    refusal = _parts(message.get("refusal"))
    return MessageParts(
        reasonings=tuple(_different(reasonings)),
        content="".join(content.texts),
        refusal="".join([*refusal.texts, *content.refusals]),
        calls="call" in flags or any(filled(message.get(key)) for key in CALL_KEYS),
        hidden="hidden" in flags,
    )


def filled(value: Any) -> bool:
    """Whether a field has anything in it: null, white space and empty lists are nothing."""
    return bool(value.strip()) if isinstance(value, str) else bool(value)


def _different(reasonings: Iterable[str]) -> list[str]:
    """The reasonings with text that differ by more than white space."""
    by_words = {" ".join(reasoning.split()): reasoning for reasoning in reversed(list(reasonings))}
    by_words.pop("", None)
    return list(reversed(by_words.values()))


def _parts(content: Any) -> _MessageTexts:
    parts = _MessageTexts([], [], [], set())
    for kind, text in _walk(content, DEPTH):
        if kind == "thought":
            parts.thoughts.append(text)
        elif kind == "text":
            parts.texts.append(text)
        elif kind == "refusal":
            parts.refusals.append(text)
        else:
            parts.flags.add(kind)
    return parts


def _walk(content: Any, depth: int) -> Iterator[tuple[str, str]]:
    """Kind and text of each part."""
    if content is None:
        return
    if isinstance(content, str):
        yield "text", content
    elif isinstance(content, list) and depth:
        for part in content:
            yield from _walk(part, depth - 1)
    elif isinstance(content, Mapping):
        yield from _part(content, depth)
    else:
        raise WrongPart("a message has parts that are not text")


def _part(part: Mapping[str, Any], depth: int) -> Iterator[tuple[str, str]]:
    kind = part.get("type") or ""
    if kind in CALLS or any(filled(part.get(key)) for key in (*CALL_KEYS, "toolUse")):
        yield "call", ""
    elif kind in HIDDEN or filled(part.get("redactedContent")):
        yield "hidden", ""
    elif kind == "refusal":
        yield "refusal", _text(part.get("refusal"), depth)
    elif kind in THOUGHTS or part.get("thought") is True or "reasoningContent" in part:
        places = (
            "thinking",
            "reasoning",
            "text",
            "content",
            "summary",
            "thought",
            "reasoningContent",
            "reasoningText",
        )
        yield (
            "thought",
            _text(
                next(
                    (part[name] for name in places if filled(part.get(name)) and part[name] is not True), None
                ),
                depth,
            ),
        )
    elif kind == "message" or (kind == "" and "parts" in part):
        yield from _walk(part.get("content") or part.get("parts"), depth - 1)
    elif kind in TEXTS and any(name in part for name in ("text", "reasoningText")):
        yield "text", _text(part.get("text"), depth)
    else:
        raise WrongPart("a message has parts that are not text")


def _text(value: Any, depth: int) -> str:
    """The text of a part, which may be a list of parts itself."""
    if isinstance(value, Mapping) and isinstance(inner := value.get("reasoningText"), Mapping):
        value = inner
    if isinstance(value, Mapping):
        value = value.get("text")
    return "\n\n".join(text for kind, text in _walk(value, depth - 1) if kind in ("text", "thought"))
