"""From one row's fields to a line of the prompts and traces tables, or to the fault for which the row is quarantined.

Lines are plain tuples (their columns are in COLUMNS): building a model object per row would cost more than parsing
the row's JSON does.
"""

from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from schemas.ids import canonical_json
from schemas.prompt import KINDS, prompt_id
from schemas.response import Fault, Split, separate, split
from schemas.response.finish import finish_word
from schemas.response.messages import READ, WrongPart, read_message
from schemas.trace import ingested_trace_id

TEXTS = frozenset(
    {"strategy", "strategy_version", "model", "kind", "category", "attack", "source", "system", "finish_reason", "reference_answer",
     "sampling", "source_id", "id", "parent_id"}
)  # fmt: skip
INTEGERS = frozenset({"prompt_tokens", "reasoning_tokens", "answer_tokens", "sample_index"})
META = TEXTS | INTEGERS
"""Fields that any format's rows may carry beside prompt and response."""
PROMPT_ONLY = ("category", "attack", "reference_answer")
INT32 = 2**31
TRACE_FIELDS = (
    "prompt", "kind", "strategy", "strategy_version", "model", "system", "prompt_tokens", "reasoning_tokens",
    "answer_tokens", "sampling", "sample_index", "parent_id", "source", "source_id",
)  # fmt: skip
"""Fields that go into the traces table as they are."""
DEFAULTS: dict[str, Any] = dict.fromkeys(TRACE_FIELDS) | {"sample_index": 0}
_trace_fields = itemgetter(*TRACE_FIELDS)
COLUMNS = {
    "prompts": (
        "prompt_id", "text", "kind", "source", "category", "attack", "reference_answer", "source_file", "source_line",
        "source_id", "extra", "turns", "tools",
    ),
    "traces": (
        "trace_id", "prompt_id", "reasoning", "answer", "finish_reason", "source_file", "source_line", "extra",
        "turns", "tools", *TRACE_FIELDS,
    ),
    "quarantine": (
        "quarantine_id", "stage", "source_file", "source_line", "source_id", "reason", "detail", "row",
    ),
    "annotations": ("trace_id", "pattern", "annotator", "label", "score", "spans", "rationale"),
    "memberships": ("prompt_id", "evaluation_set", "attack", "query", "source_file", "source_line"),
}  # fmt: skip
"""What the tuples hold that go into each table; its other columns become null."""


class BadRow(Exception):
    """An invalid row, with its fault."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.fault = Fault(reason, detail)


class FieldPath(NamedTuple):
    """What a row inherits from its source."""

    file: str
    source: str
    """Default name of the data set."""
    kind: str | None
    """Default kind of the prompt."""
    source_named: bool = False
    """Whether the user named the data set; else it is the file's name."""
    evaluation_set: str | None = None
    """The published set that the file is."""


class FieldTalk(NamedTuple):
    """What a prompt has beside its last question."""

    turns: list[dict[str, Any]] | None
    tools: str | None


class FieldLines(NamedTuple):
    """One row's lines for the tables."""

    prompt: tuple[Any, ...]
    trace: tuple[Any, ...] | None


def prompt_line(fields: dict[str, Any], extra: dict[str, Any], place: FieldPath, line: int) -> FieldLines:
    """The prompts line of a row without a response.

    Raises:
        BadRow: missing_prompt, wrong_type, nul_character.
    """
    talk = _talk(fields, extra)
    _clean(fields)
    text = _prompt(fields)
    told = _PROMPT_FIELDS | {"system"} if talk.turns else _PROMPT_FIELDS
    leftover = {name: fields[name] for name in fields if name not in told}
    key = prompt_id(text, *talk)
    return FieldLines(_prompt_tuple(key, text, talk, fields, extra_json(extra | leftover), place, line), None)


def trace_line(fields: dict[str, Any], extra: dict[str, Any], place: FieldPath, line: int) -> FieldLines:
    """The prompts and traces lines of a row; of a chat that ends in a question only the former.

    Raises:
        BadRow: missing_prompt, missing_response, wrong_type, nul_character, or a reason of `schemas.response`.
    """
    message: dict[str, Any] | None = fields.pop("message", None)
    if fields.pop("chat", False) and message is None and not _RESPONSES & (fields.keys() | extra.keys()):
        return prompt_line(fields, extra, place, line)
    talk = _talk(fields, extra)
    own = {"finish_reason": fields.pop("finish_reason")} if "finish_reason" in fields else {}
    finish_reason = finish_word(own, message or {}, extra)
    _clean(fields)
    prompt = _prompt(fields)
    get = fields.get
    reasoning, answer = _response(fields, message, finish_reason)
    if beside := {name: message[name] for name in message if name not in READ} if message else None:
        extra["message"] = beside
    for name in PROMPT_ONLY:  # the prompts table keeps the first row's; this row's own stay with the trace
        if name in fields:
            extra[name] = fields[name]
    key = prompt_id(prompt, *talk)
    trace_id = ingested_trace_id(key, get("strategy"), get("model"), reasoning, answer)
    row = DEFAULTS | {"kind": place.kind, "source": place.source} | fields
    trace = (
        trace_id,
        key,
        reasoning,
        answer,
        finish_reason,
        place.file,
        line,
        extra_json(extra),
        *talk,
        *_trace_fields(row),
    )
    return FieldLines(_prompt_tuple(key, prompt, talk, fields, None, place, line), trace)


_RESPONSES = frozenset({"response", "answer", "reasoning", "reasoning_content", "thinking"})
"""Columns beside a chat that could hold its response: where one is there and empty, a response is missing."""


_TALK = frozenset({"turns", "tools", "beside_turns", "beside_tools"})
_NO_TALK = FieldTalk(None, None)


def _talk(fields: dict[str, Any], extra: dict[str, Any]) -> FieldTalk:
    """Take the conversation out of the fields; what its messages carried beside goes to `extra`."""
    if _TALK.isdisjoint(fields):
        return _NO_TALK
    turns, tools = fields.pop("turns", None), fields.pop("tools", None)
    for name, column in (("beside_turns", "turns"), ("beside_tools", "tools")):
        if (told := fields.pop(name, None)) is not None:
            extra[column] = told
    texts = [text for turn in turns or () for text in turn.values()] + [tools or ""]
    if any("\0" in text for text in texts):
        raise BadRow("nul_character", "the conversation has a NUL character, which no text should have")
    return FieldTalk(turns, tools)


_PROMPT_FIELDS = frozenset({"prompt", "kind", "source", "source_id", *PROMPT_ONLY})


def _prompt_tuple(
    key: str,
    text: str,
    talk: FieldTalk,
    fields: dict[str, Any],
    extra: str | None,
    place: FieldPath,
    line: int,
) -> tuple[Any, ...]:
    get = fields.get
    return (
        key, text, get("kind", place.kind), get("source", place.source), get("category"), get("attack"),
        get("reference_answer"), place.file, line, get("source_id"), extra, *talk,
    )  # fmt: skip


def _clean(fields: dict[str, Any]) -> None:
    """Check every field's type and bring it into its column's; drop nulls."""
    nulls = []
    for name, value in fields.items():
        if type(value) is str:
            if "\0" in value:
                raise BadRow("nul_character", f"{name} has a NUL character, which no text should have")
            if name in INTEGERS:
                raise BadRow("wrong_type", f"{name} must be a number, not text")
        elif value is None:
            nulls.append(name)
        else:
            fields[name] = plain(name, value)
    for name in nulls:
        del fields[name]
    if "kind" in fields and fields["kind"] not in KINDS:
        raise BadRow("wrong_type", f"kind must be one of {', '.join(KINDS)}")


def plain(name: str, value: Any) -> Any:
    """A field's value as its column has it, where it did not come as text; raises BadRow: wrong_type."""
    if name in INTEGERS:
        if type(value) is int and 0 <= value < INT32:
            return value
        raise BadRow("wrong_type", f"{name} must be a whole number from 0 to {INT32 - 1}")
    if name == "sampling" and isinstance(value, dict):
        return _canonical(value)
    if name == "category" and isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return " | ".join(value) or None
    if name in ("id", "source_id", "reference_answer", "category") and type(value) in (int, float):
        return str(value)
    raise BadRow("wrong_type", f"{name} must be text, not {type(value).__name__}")


def _canonical(value: dict[str, Any]) -> str:
    try:
        return canonical_json(value).decode()
    except (TypeError, ValueError) as error:
        raise BadRow("wrong_type", f"sampling must be plain JSON: {error}") from error


def _prompt(fields: dict[str, Any]) -> str:
    prompt = fields.get("prompt")
    if not prompt or prompt.isspace():
        raise BadRow("missing_prompt", "the prompt is missing or empty")
    return str(prompt)


def _response(fields: dict[str, Any], message: dict[str, Any] | None, finish_reason: str | None) -> Split:
    result: Split | Fault
    if message is not None:
        result = _of_message(message, finish_reason)
    elif "response" in fields:
        result = split(fields["response"], finish_reason)
    elif "reasoning" in fields and "answer" in fields:
        result = separate(fields["reasoning"], fields["answer"], finish_reason)
    else:
        name = "reasoning" if "answer" in fields else "answer" if "reasoning" in fields else "response"
        raise BadRow("missing_response", f"the {name} is missing or null")
    if isinstance(result, Fault):
        raise BadRow(*result)
    return result


def _of_message(message: dict[str, Any], finish_reason: str | None) -> Split | Fault:
    try:
        found = read_message(message, finish_reason)
    except WrongPart as error:
        raise BadRow("wrong_type", str(error)) from error
    if "\0" in found.reasoning or "\0" in found.answer:
        raise BadRow("nul_character", "the response has a NUL character, which no text should have")
    return found.fault or Split(found.reasoning, found.answer)


def extra_json(extra: dict[str, Any]) -> str | None:
    """The columns that no field takes, as JSON; null if there are none."""
    return orjson.dumps(extra, default=str, option=orjson.OPT_NON_STR_KEYS).decode() if extra else None
