"""Logs of evaluations: Inspect's samples and lm-eval's `samples_*.jsonl`, to chats with their reference answers."""

from collections.abc import Mapping
from typing import Any

import orjson

from curation.ingest.fields import BadRow
from curation.ingest.records.exchanges import take_response

ATTACHMENT = "attachment://"
DEPTH = 30
UNUSED = frozenset({"events", "store", "attachments", "events_data", "timelines"})
"""Of an Inspect sample: how it came about, many times as long as what came of it."""


def unfold_inspect(fields: dict[str, Any]) -> None:
    """Replace an Inspect sample's input, messages, output and target.

    Raises:
        BadRow: failed_sample, missing_response.
    """
    attached = fields.pop("attachments", None) or {}
    for name in UNUSED:
        fields.pop(name, None)
    if error := fields.pop("error", None):
        words = error.get("message") if isinstance(error, dict) else error
        raise BadRow("failed_sample", f"the sample ended in an error: {str(words)[:300]}")
    asked, messages = fields.pop("input", None), fields.pop("messages", None)
    output, target = fields.pop("output", None), fields.pop("target", None)
    turns = messages if isinstance(messages, list) and messages else asked
    if isinstance(turns, str):
        turns = [{"role": "user", "content": turns}]
    if not isinstance(turns, list):
        raise BadRow("missing_prompt", "the sample has neither messages nor an input")
    while turns and isinstance(turns[-1], dict) and turns[-1].get("role") == "assistant":
        turns = turns[:-1]
    if not isinstance(output, dict) or not output.get("choices"):
        raise BadRow("missing_response", "the sample has no output")
    body = {
        "choices": [_inspect_choice(choice) for choice in output["choices"][:1]],
        "model": output.get("model"),
        "usage": output.get("usage"),
    }
    beside = take_response(fields, _attached(turns, attached, DEPTH), _attached(body, attached, DEPTH))
    fields["beside"] = beside
    _take_reference(fields, target)


def _inspect_choice(choice: Any) -> Any:
    return {**choice, "finish_reason": choice.get("stop_reason")} if isinstance(choice, dict) else choice


def unfold_lm_eval(fields: dict[str, Any]) -> None:
    """Replace an lm-eval sample's arguments, responses and target.

    Raises:
        BadRow: missing_prompt; missing_response, also where the harness only asked for likelihoods.
    """
    doc_id = fields.pop("doc_id", None)
    fields["source_id"] = None if doc_id is None else str(doc_id)
    prompt, replies = _asked(fields.pop("arguments", None)), fields.pop("resps", None)
    while isinstance(replies, list) and replies and isinstance(replies[0], list):
        replies = replies[0]
    reply = replies[0] if isinstance(replies, list) and replies else replies
    if isinstance(replies, list) and len(replies) > 1 and all(isinstance(one, str) for one in replies[:2]):
        if _is_number(replies[0]) and replies[1] in ("True", "False"):
            raise BadRow("missing_response", "the model was asked for likelihoods, not for a text")
        fields["beside"] = {"further_responses": replies[1:]}
    if not isinstance(reply, str):
        raise BadRow("missing_response", "the model was asked for likelihoods, not for a text")
    if prompt is None:
        raise BadRow("missing_prompt", "the sample has no arguments")
    turns = _chat(prompt)
    fields["messages"] = [*turns, {"role": "assistant", "content": reply}]
    _take_reference(fields, fields.pop("target", None))


def _asked(arguments: Any) -> Any:
    """The prompt in an lm-eval request: `[[prompt, options]]`, or `{"gen_args_0": {"arg_0": prompt}}`."""
    if isinstance(arguments, Mapping):
        arguments = next(iter(arguments.values()), None)
        arguments = arguments.get("arg_0") if isinstance(arguments, Mapping) else arguments
    while isinstance(arguments, list) and arguments and not isinstance(arguments[0], Mapping):
        arguments = arguments[0]
    return arguments or None


def _chat(prompt: Any) -> list[Any]:
    """The messages of a prompt; a chat may come as its JSON."""
    if isinstance(prompt, str) and prompt.lstrip().startswith("["):
        try:
            turns = orjson.loads(prompt)
        except orjson.JSONDecodeError:
            turns = None
        if (
            isinstance(turns, list)
            and turns
            and all(isinstance(turn, dict) and "role" in turn for turn in turns)
        ):
            return turns
    return prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]


def _take_reference(fields: dict[str, Any], target: Any) -> None:
    if isinstance(target, list) and len(target) == 1:
        target = target[0]
    if isinstance(target, str | int | float) and not isinstance(target, bool) and str(target).strip():
        fields.setdefault("reference_answer", str(target))
    elif target:
        fields.setdefault("beside", {})["target"] = target


def _attached(value: Any, attached: Any, depth: int) -> Any:
    """A value with the long texts that the log keeps apart."""
    if isinstance(value, str) and value.startswith(ATTACHMENT) and isinstance(attached, dict):
        return attached.get(value.removeprefix(ATTACHMENT), value)
    if isinstance(value, list) and depth:
        return [_attached(entry, attached, depth - 1) for entry in value]
    if isinstance(value, dict) and depth:
        return {name: _attached(entry, attached, depth - 1) for name, entry in value.items()}
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
