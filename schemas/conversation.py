"""Conversations: the turns of a prompt that is more than one question, and how a chat template or a server is given them.

A prompt of one user message without system prompt and tools has no turns; every other one has all its turns, its last
question included, in the order in which the model sees them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)
REASONING_KEYS = ("reasoning", "reasoning_content", "thinking")
"""Under these keys chat templates look for an earlier turn's reasoning: vLLM sets the first two, gpt-oss reads the last."""
CUT = " [...] "
"""Stands for text that is left out where a conversation is shown."""


class Turn(BaseModel):
    """One message of a prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    content: str = ""
    """Its text; "" for an assistant's turn that only calls tools."""
    reasoning: str | None = None
    """The assistant's reasoning in this turn, without think tags; null where the source has none."""
    tool_calls: str | None = None
    """JSON list of the assistant's calls, as OpenAI writes them, but `arguments` are an object where they are JSON."""
    tool_call_id: str | None = None
    """The call that a tool's result answers."""
    name: str | None = None
    """The tool's name, or the speaker's."""


FIELDS = tuple(Turn.model_fields)
Turns = Sequence[Turn | Mapping[str, Any]]


def messages(text: str, turns: Turns | None) -> list[dict[str, Any]]:
    """A prompt as messages for a chat template: what inference renders, and so what training must.

    Reasoning of earlier turns stands under the keys that templates use; whether the model sees it is the template's decision.
    Arguments of calls are objects, as templates expect them (vLLM does the same).

    Args:
        text: the last question.
        turns: all turns; null for a prompt of one question.
    """
    if not turns:
        return [{"role": "user", "content": text}]
    return [_message(turn if isinstance(turn, Turn) else Turn.model_validate(turn)) for turn in turns]


def calls_as_text(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls of tools with their arguments as JSON texts, as OpenAI's servers write them."""
    told = []
    for call in calls:
        arguments = call["function"].get("arguments")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        told.append(call | {"function": call["function"] | {"arguments": arguments}})
    return told


def tool_definitions(tools: str | None) -> list[dict[str, Any]] | None:
    """The tools of a prompt in OpenAI's form, whatever form they came in; null for none."""
    if not tools:
        return None
    found = json.loads(tools)
    declared = [tool.get("functionDeclarations", tool.get("function_declarations", [tool])) for tool in found]
    return [_definition(tool) for of_one in declared for tool in of_one]


def canonical(turns: Turns | None, tools: str | None) -> list[Any] | None:
    """What the id of a prompt covers beside its text; null for a prompt of one question."""
    if not turns and not tools:
        return None
    told = [turn.model_dump() if isinstance(turn, Turn) else turn for turn in turns or ()]
    return [[{name: turn[name] for name in FIELDS if turn.get(name) is not None} for turn in told], tools]


def with_last_question(
    turns: Sequence[Mapping[str, Any]] | None, text: str
) -> list[Mapping[str, Any]] | None:
    """The turns with another last question; null for null."""
    if turns is None:
        return None
    last = max(place for place, turn in enumerate(turns) if turn["role"] == "user")
    return [*turns[:last], {**turns[last], "content": text}, *turns[last + 1 :]]


def shown(turns: Turns | None, limit: int) -> str:
    """The turns before the last question as a text for people and judges, long ones without their middle, the oldest left out first.

    Args:
        turns: all turns of a prompt.
        limit: most code points of the text.
    """
    told = [turn if isinstance(turn, Turn) else Turn.model_validate(turn) for turn in turns or ()]
    if (
        told and told[-1].role == "user"
    ):  # else results of tools follow the question, which then stays in its place
        told.pop()
    lines = [shortened(_line(turn), max(limit // 4, 80)) for turn in told]
    kept: list[str] = []
    for line in reversed(lines):
        if sum(map(len, kept)) + len(line) > limit:
            kept.append(f"[{len(lines) - len(kept)} earlier turns are left out]")
            break
        kept.append(line)
    return "\n\n".join(reversed(kept))


def shortened(text: str, limit: int) -> str:
    """A text of at most `limit` code points, its middle left out."""
    if len(text) <= limit:
        return text
    half = (limit - len(CUT)) // 2
    return text[:half] + CUT + text[-half:]


def whole_text(text: str, turns: Sequence[Mapping[str, Any]] | None, tools: str | None) -> str:
    """All that a prompt says, for counting: the reasoning of earlier turns is left out, as most templates do."""
    told = [turn["content"] + (turn["tool_calls"] or "") for turn in turns or ()]
    return "".join([*(told or [text]), tools or ""])


def size(turns: Iterable[Mapping[str, Any]] | None) -> int:
    """Code points of all texts of some turns."""
    return sum(len(value) for turn in turns or () for value in turn.values() if value)


def _line(turn: Turn) -> str:
    speaker = turn.role + (f" {turn.name}" if turn.name else "")
    parts = [
        *([f"(thinks) {turn.reasoning}"] if turn.reasoning else []),
        *([turn.content] if turn.content else []),
        *([f"(calls) {turn.tool_calls}"] if turn.tool_calls else []),
    ]
    return f"{speaker}: " + "\n".join(parts)


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.reasoning:
        message |= dict.fromkeys(REASONING_KEYS, turn.reasoning)
    if turn.tool_calls:
        message["tool_calls"] = [_with_object(call) for call in json.loads(turn.tool_calls)]
    return message | {
        name: getattr(turn, name) for name in ("tool_call_id", "name") if getattr(turn, name) is not None
    }


def _with_object(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return call  # not JSON: the template gets what the model wrote
    return call | {"function": function | {"arguments": arguments if arguments is not None else {}}}


def _definition(tool: Any) -> Any:
    if not isinstance(tool, dict) or "function" in tool or "name" not in tool:
        return tool
    parameters = tool.get("parameters", tool.get("input_schema"))
    function = {
        name: value
        for name, value in tool.items()
        if name in ("name", "description", "strict") and value is not None
    }
    return {
        "type": "function",
        "function": function | ({} if parameters is None else {"parameters": parameters}),
    }
