"""Splits chats into one question, one response and an optional system message; longer chats are faults.

The response's message is handed on whole (`schemas.response.messages` reads it); it may be missing, where columns beside the chat
have the response.
"""

from typing import Any

from curation.ingest.fields import BadRow
from schemas.response.messages import WrongPart, parts_of

ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant",
}  # fmt: skip


def unfold_messages(fields: dict[str, Any]) -> None:
    """Replace `messages` by prompt, system, and response (or reasoning and answer)."""
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
    if completion is None:
        raise BadRow("missing_response", "completion is null")
    if prompt is None:
        raise BadRow("missing_prompt", "prompt is null")
    if not isinstance(prompt, list) or not isinstance(completion, list):
        raise BadRow("wrong_type", "prompt and completion must be texts or lists of messages")
    _unfold(fields, prompt + completion)


def _unfold(fields: dict[str, Any], turns: Any) -> None:
    if not isinstance(turns, list):
        raise BadRow("wrong_type", f"a conversation must be a list of messages, not {type(turns).__name__}")
    by_role: dict[str, list[dict[str, Any]]] = {"system": [], "user": [], "assistant": []}
    for turn in turns:
        by_role[_role(turn)].append(turn)
    _check_shape(by_role)
    for system in by_role["system"]:
        fields["system"] = _text(system)
    fields["prompt"] = _text(by_role["user"][0])
    for response in by_role["assistant"]:  # else it stands in columns beside the chat
        fields["message"] = response


def _check_shape(by_role: dict[str, list[dict[str, Any]]]) -> None:
    if len(by_role["user"]) > 1 or len(by_role["assistant"]) > 1 or len(by_role["system"]) > 1:
        turn_counts = ", ".join(f"{len(turns)} {role}" for role, turns in by_role.items() if turns)
        raise BadRow(
            "multi_turn", f"only single-turn conversations are supported; this one has {turn_counts} messages"
        )
    if not by_role["user"]:
        raise BadRow("missing_prompt", "the conversation has no user message")


def _role(turn: Any) -> str:
    role = turn.get("role", turn.get("from")) if isinstance(turn, dict) else None
    if not isinstance(role, str) or role not in ROLES:
        raise BadRow("wrong_type", f"every message needs a role out of {', '.join(ROLES)}")
    return ROLES[role]


def _text(turn: dict[str, Any]) -> str:
    """The text of a turn that is not the response."""
    try:
        return parts_of(turn).content
    except WrongPart as error:
        raise BadRow("wrong_type", str(error)) from error
