"""Messages of a prompt, as any API or file writes them: the turns they are, with calls and results of tools.

An earlier turn of the assistant is read as a response is, so its reasoning is found wherever it stands. A message may hold
several turns: Anthropic and Gemini put the results of tools inside a message of the user.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.response.fault import Fault
from schemas.response.messages import CALL_KEYS, CALLS, WrongPart, filled, parts_of, read_message

ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant", "chatgpt": "assistant",
    "function_call": "assistant", "tool_call": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool", "tool_response": "tool",
    "function_response": "tool", "tool_result": "tool", "toolResult": "tool",
}  # fmt: skip
CALLING_ROLES = frozenset({"function_call", "tool_call"})
"""Roles whose text is the call itself."""
RESULTS = frozenset(
    {
        "tool_result",
        "tool-result",
        "function_response",
        "functionResponse",
        "toolResult",
        "function_call_output",
    }
)
RESULT_KEYS = ("functionResponse", "function_response", "toolResult")
HARMLESS = frozenset({"no_think", "empty_answer", "tool_call", "loop"})
"""What an earlier turn may be: nobody learns from it alone."""
ID_KEYS = ("id", "tool_call_id", "tool_use_id", "toolUseId", "toolCallId", "call_id")
CONTENT = ("content", "value", "text", "parts")


class UnreadTurn(ValueError):
    """A message of a conversation that cannot be read, with its fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


def turns_of(message: Mapping[str, Any], role: str) -> Iterator[dict[str, Any]]:
    """The turns of one message, as rows of `schemas.tables.TURN` without nulls.

    Args:
        message: in the words of any API.
        role: system, user, assistant or tool, as `ROLES` has it.

    Raises:
        UnreadTurn: if an assistant's message is broken.
        WrongPart: if it has parts that are not text, or a call without a name.
    """
    if role == "assistant":
        yield _assistant(message)
    elif role == "tool":
        yield _result(message)
    else:
        plain = message.get("content")
        results, rest = ([], message) if isinstance(plain, str) else _results_apart(message)
        yield from results
        text = plain if isinstance(plain, str) and plain.strip() else parts_of(rest).content
        if text.strip() or not results:
            name = rest.get("name")
            yield (
                {"role": role, "content": text, "name": name}
                if isinstance(name, str)
                else {
                    "role": role,
                    "content": text,
                }
            )


def calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The calls of an assistant's message, as OpenAI writes them; arguments that came as JSON texts are objects."""
    found = []
    for key in CALL_KEYS:
        value = _parsed(message.get(key))
        if filled(value):
            found += value if isinstance(value, list) else [value]
    for key in CONTENT:
        parts = message.get(key)
        if isinstance(parts, list):
            found += [part for part in parts if _calls(part)]
    return [_call(call) for call in found]


def json_text(value: Any) -> str:
    """JSON of what a source holds, in its own order."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)
    except ValueError as error:
        raise WrongPart(f"a call or a tool is no JSON: {error}") from error


def _assistant(message: Mapping[str, Any]) -> dict[str, Any]:
    told = message.get("role", message.get("from"))
    if told in CALLING_ROLES:
        value = _parsed(next((message[key] for key in CONTENT if filled(message.get(key))), None))
        calls = [_call(call) for call in (value if isinstance(value, list) else [value])]
        return {"role": "assistant", "content": "", "tool_calls": json_text(calls)}
    calls = calls_of(message)
    said = _without_calls(message) if calls else message
    found = read_message(said)
    if found.fault and found.fault.reason not in HARMLESS:
        raise UnreadTurn(found.fault)
    turn: dict[str, Any] = {"role": "assistant", "content": found.answer}
    if found.reasoning.strip():
        turn["reasoning"] = found.reasoning
    if calls:
        turn["tool_calls"] = json_text(calls)
    return turn


def _without_calls(message: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in message.items() if key not in CALL_KEYS}
    for key in CONTENT:
        if isinstance(rest.get(key), list):
            rest[key] = [part for part in rest[key] if not _calls(part)]
    return rest


def _calls(part: Any) -> bool:
    return isinstance(part, Mapping) and (
        part.get("type") in CALLS or any(filled(part.get(key)) for key in (*CALL_KEYS, "toolUse"))
    )


def _call(call: Any) -> dict[str, Any]:
    call = _parsed(call)
    if not isinstance(call, Mapping):
        raise WrongPart("a call of a tool is no object")
    places = ("function", "functionCall", "function_call", "toolUse", "tool_call")
    inner = next((call[key] for key in places if isinstance(call.get(key), Mapping)), call)
    name = inner.get("name", inner.get("toolName"))
    if not isinstance(name, str) or not name:
        raise WrongPart("a call of a tool has no name")
    arguments: Any = next(
        (inner[key] for key in ("arguments", "args", "input", "parameters") if inner.get(key) is not None), {}
    )
    told = {"name": name, "arguments": _parsed(arguments)}  # equal calls have equal ids, whatever the API
    return _id(call, inner) | {"type": "function", "function": told}


def _id(*places: Mapping[str, Any]) -> dict[str, str]:
    for place in places:
        # what Responses calls `id` is the item's, `call_id` the call's
        for key in ("call_id", *ID_KEYS):
            if isinstance(place.get(key), str) and place[key]:
                return {"id": place[key]}
    return {}


def _result(message: Mapping[str, Any]) -> dict[str, Any]:
    """A tool's result, as text; a result that is an object is its JSON."""
    inner = next((message[key] for key in RESULT_KEYS if isinstance(message.get(key), Mapping)), message)
    value = next(
        (
            inner[key]
            for key in ("content", "value", "output", "result", "response", "text", "parts")
            if inner.get(key) is not None
        ),
        "",
    )
    turn = {"role": "tool", "content": _result_text(value)}
    if told := {key: value for key, value in _id(inner, message).items() if value}:
        turn["tool_call_id"] = told["id"]
    name = inner.get("name", inner.get("toolName", message.get("name")))
    return turn | ({"name": name} if isinstance(name, str) and name else {})


def _result_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return parts_of({"content": value}).content if isinstance(value, list) else json_text(value)
    except WrongPart:
        return json_text(value)


def _results_apart(message: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    """The results of tools inside a message, and the message without them."""
    for key in CONTENT:
        parts = message.get(key)
        if isinstance(parts, list) and any(map(_is_result, parts)):
            rest = {**message, key: [part for part in parts if not _is_result(part)]}
            return [_result(part) for part in parts if _is_result(part)], rest
    return [], message


def _is_result(part: Any) -> bool:
    return isinstance(part, Mapping) and (
        part.get("type") in RESULTS or any(filled(part.get(key)) for key in RESULT_KEYS)
    )


def _parsed(value: Any) -> Any:
    """JSON inside a text."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
