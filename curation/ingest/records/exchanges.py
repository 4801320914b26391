"""What an API was asked and what it answered, to a chat: OpenAI (chat, responses, completions), Anthropic, Gemini.

Mistral, vLLM, SGLang and llama.cpp speak OpenAI's. A chat is `messages`, the last of them the response, and why it ended.
"""

from typing import Any

from curation.ingest.fields import BadRow

CONTENTS = ("messages", "input", "contents", "prompt")
"""Where a request has its question: OpenAI and Anthropic; OpenAI's responses; Gemini; completions."""
SYSTEMS = ("system", "instructions", "systemInstruction", "system_instruction")


def unfold_contents(fields: dict[str, Any]) -> None:
    """Gemini's chats: replace `contents` and `systemInstruction` by messages."""
    fields["messages"] = turns_of_request(
        {name: fields.pop(name) for name in ("contents", *SYSTEMS) if name in fields}
    )


def turns_of_request(request: Any) -> list[Any]:
    """The messages of a request, its system prompt first.

    Raises:
        BadRow: missing_prompt, wrong_type.
    """
    if not isinstance(request, dict):
        raise BadRow("missing_prompt", "the request is no object")
    asked = next((request[name] for name in CONTENTS if request.get(name)), None)
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    if isinstance(asked, dict):
        asked = [asked]
    if not isinstance(asked, list):
        raise BadRow("missing_prompt", f"the request has none of {', '.join(CONTENTS)}")
    turns = [_with_role(turn) for turn in asked]
    system = next((request[name] for name in SYSTEMS if request.get(name)), None)
    return turns if system is None else [_system_turn(system), *turns]


def take_request(fields: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Put the tools of a request into fields.

    Returns:
        Its settings, for `extra`.
    """
    if request.get("tools"):
        fields["tools"] = request["tools"]
    read = (*CONTENTS, *SYSTEMS, "tools")
    settings = {name: value for name, value in request.items() if name not in read and value is not None}
    return {"request": settings} if settings else {}


def take_response(fields: dict[str, Any], turns: list[Any], body: Any) -> dict[str, Any]:
    """Put a chat of a request and an API's response into fields: messages, model, finish_reason.

    Returns:
        What stands beside in the response, for `extra`.

    Raises:
        BadRow: missing_response.
    """
    if not isinstance(body, dict):
        raise BadRow("missing_response", "the response is no object")
    message, finish = _message(body)
    fields["messages"] = [*turns, message | {"role": "assistant"}]
    if finish is not None:
        fields["finish_reason"] = finish
    model = body.get("model") or body.get("modelVersion")
    if isinstance(model, str):
        fields.setdefault("model", model)
    return {name: body[name] for name in ("usage", "usageMetadata") if body.get(name)}


def _message(body: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The assistant's message and why it ended."""
    if choice := _first(body.get("choices")):  # OpenAI's chat and completions
        message = choice.get("message")
        if not isinstance(message, dict):
            message = {"content": choice.get("text")}
        return message, choice.get("finish_reason")
    if candidate := _first(body.get("candidates")):  # Gemini
        content = candidate.get("content")
        return content if isinstance(content, dict) else {}, candidate.get("finishReason")
    if isinstance(body.get("output"), list):  # OpenAI's responses
        said = [part for part in body["output"] if isinstance(part, dict)]
        detail = body.get("incomplete_details")
        reason = detail.get("reason") if isinstance(detail, dict) else None
        return {"content": said}, reason or body.get("status")
    if "content" in body:  # Anthropic
        return {"content": body["content"]}, body.get("stop_reason")
    if isinstance(body.get("message"), dict):  # Ollama
        return body["message"], body.get("done_reason")
    raise BadRow("missing_response", "the response has no choices, candidates, output, content or message")


def _first(entries: Any) -> dict[str, Any] | None:
    return entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else None


def _with_role(turn: Any) -> Any:
    """A turn; Gemini leaves the role of a single question out."""
    return turn | {"role": turn.get("role") or "user"} if isinstance(turn, dict) and "parts" in turn else turn


def _system_turn(system: Any) -> dict[str, Any]:
    if isinstance(system, dict):
        system = system.get("parts") or system.get("text")
    return {"role": "system", "content": system}
