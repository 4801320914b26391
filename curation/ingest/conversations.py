"""Splits chats into a prompt with all its turns, and the response to it.

The response's message is handed on whole (`schemas.response.messages` reads it); it may be missing, where columns beside the chat
have the response. A chat that ends in any other turn is a prompt without a response.
"""

from typing import Any

from curation.ingest.fields import BadRow
from schemas.response.markups import first_mark
from schemas.response.messages import CALL_KEYS, READ, REASONING_KEYS, WrongPart, parts_of
from schemas.response.turns import ROLES, UnreadTurn, json_text, turns_of

SAID = READ | {"name", "tool_call_id"}
"""Keys of an assistant's message that are part of its turn; others are beside."""
ASKED = SAID - {*REASONING_KEYS, *CALL_KEYS, "refusal"}
"""The same of other messages."""


def unfold_messages(fields: dict[str, Any]) -> None:
    """Replace `messages` by prompt, turns, tools, system, and the response's message."""
    _unfold(fields, fields.pop("messages", None))


def unfold_conversations(fields: dict[str, Any]) -> None:
    """Replace `conversations` likewise."""
    _unfold(fields, fields.pop("conversations", None))


def unfold_completion(fields: dict[str, Any]) -> None:
    """Replace `prompt` and `completion`, which are texts or lists of messages."""
    prompt, completion = fields.pop("prompt", None), fields.pop("completion", None)
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if isinstance(completion, str):
        completion = [{"role": "assistant", "content": completion}]
    if not completion:
        raise BadRow("missing_response", "completion is null or empty")
    if prompt is None:
        raise BadRow("missing_prompt", "prompt is null")
    if not isinstance(prompt, list) or not isinstance(completion, list):
        raise BadRow("wrong_type", "prompt and completion must be texts or lists of messages")
    _unfold(fields, prompt + completion)


def unfold_history(fields: dict[str, Any], history: Any, prompt: Any) -> None:
    """Put earlier turns, as pairs of question and answer, before a question."""
    if not isinstance(history, list) or not all(
        isinstance(pair, list) and len(pair) == 2 for pair in history
    ):
        raise BadRow("wrong_type", "history must be a list of pairs of question and answer")
    pairs = [
        [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        for asked, said in history
    ]
    _unfold(fields, [*(turn for pair in pairs for turn in pair), {"role": "user", "content": prompt}])
    fields.pop("chat")


def _unfold(fields: dict[str, Any], messages: Any) -> None:
    if not isinstance(messages, list):
        raise BadRow(
            "wrong_type", f"a conversation must be a list of messages, not {type(messages).__name__}"
        )
    roles = [_role(message) for message in messages]
    fields["chat"] = True
    if roles and roles[-1] == "assistant":
        *messages, fields["message"] = messages
    turns = _system(fields)
    for number, (message, role) in enumerate(zip(messages, roles, strict=False), 1):
        turns += _turns(message, role, number)
    questions = [turn["content"] for turn in turns if turn["role"] == "user"]
    if not questions:
        raise BadRow("missing_prompt", "the conversation has no user message")
    fields["prompt"] = questions[-1]
    if systems := [turn["content"] for turn in turns if turn["role"] == "system"]:
        fields["system"] = "\n\n".join(systems)
    tools = _tools(fields)
    if tools:
        fields["tools"] = tools
    if tools or len(turns) > 1:
        fields["turns"] = turns
    both = enumerate(zip(messages, roles, strict=False), 1)
    beside = {str(n): told for n, (message, role) in both if (told := _beside(message, role))}
    if beside:
        fields["beside_turns"] = beside


def _system(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """The system prompt that stands beside the chat. One that dictates a markup says how the response was made: the prompt
    is without it."""
    system = fields.pop("system", None)
    if isinstance(system, list):
        system = _text(system)
    if system is not None and not isinstance(system, str):
        raise BadRow("wrong_type", f"system must be text, not {type(system).__name__}")
    if not system or not system.strip():
        return []
    fields["system"] = system
    return [] if first_mark(system) else [{"role": "system", "content": system}]


def _turns(message: dict[str, Any], role: str, number: int) -> list[dict[str, Any]]:
    try:
        return list(turns_of(message, role))
    except UnreadTurn as error:
        raise BadRow(error.fault.reason, f"message {number}: {error.fault.detail}") from error
    except WrongPart as error:
        raise BadRow("wrong_type", f"message {number}: {error}") from error


def _tools(fields: dict[str, Any]) -> str | None:
    """The definitions of tools as a JSON list; what is none stays where it was."""
    import orjson

    older = fields.pop("functions", None)  # OpenAI's name for them before there were tools
    if older and not fields.get("tools"):
        fields["tools"] = older
    tools = fields.get("tools")
    if isinstance(tools, str):
        try:
            tools = orjson.loads(tools)
        except ValueError:
            tools = None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        if told := fields.pop("tools", None):
            fields["beside_tools"] = told
        return None
    fields.pop("tools")
    return json_text(tools) if tools else None


def _beside(message: dict[str, Any], role: str) -> dict[str, Any]:
    known = SAID if role == "assistant" else ASKED
    return {
        name: value for name, value in message.items() if name not in known and value not in (None, "", [])
    }


def _role(turn: Any) -> str:
    role = turn.get("role", turn.get("from")) if isinstance(turn, dict) else None
    if not isinstance(role, str) or role not in ROLES:
        raise BadRow("wrong_type", f"every message needs a role out of {', '.join(ROLES)}")
    return ROLES[role]


def _text(parts: list[Any]) -> str:
    try:
        return parts_of({"content": parts}).content
    except WrongPart as error:
        raise BadRow("wrong_type", f"system: {error}") from error
