"""Why a generation ended, in the words of every API: what is not known to be whole was cut.

A list of the words that mean "whole", since new words for the contrary appear with every API.
"""

from collections.abc import Mapping
from typing import Any

from schemas.response.fault import Fault

WHOLE = {
    "OpenAI": "stop tool_calls function_call completed",
    "Anthropic, Bedrock": "end_turn stop_sequence tool_use",
    "Gemini": "STOP FINISH_REASON_STOP",
    "Cohere": "COMPLETE STOP_SEQUENCE TOOL_CALL",
    "Ollama, Mistral, vLLM, SGLang": "stop tool_calls",
    "TGI, llama.cpp": "eos_token eos word stop_sequence",
}
"""The words that mean that a response is whole, by API."""
TRUNCATED = (
    "length max_tokens max_output_tokens max_length max_new_tokens model_length token_limit limit incomplete "
    "model_context_window_exceeded context_length_exceeded finish_reason_max_tokens error_limit truncated"
)
"""Words for a token limit."""
BLOCKED = (
    "content_filter content_filtered safety recitation prohibited_content blocklist spii refusal guardrail_intervened "
    "image_safety language sensitive error_toxic blocked moderation finish_reason_safety"
)
"""Words of a filter behind the model: what it wrote is cut, and it is not the model that refuses."""
_WHOLE = frozenset(word.lower() for words in WHOLE.values() for word in words.split())
_TRUNCATED, _BLOCKED = frozenset(TRUNCATED.split()), frozenset(BLOCKED.split())

KEYS = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason", "stop_type")
"""Where APIs and files say it; the first with a word counts."""
UNFINISHED = {
    "is_reasoning_complete": False, "is_complete": False, "is_finished": False, "done": False, "truncated": True, "is_truncated": True,
    "incomplete": True,
}  # fmt: skip
"""Columns that say that a response is not whole, and by what value."""
STATUSES = ("incomplete", "in_progress", "cancelled")
TELLING = frozenset((*KEYS, *UNFINISHED, "status"))


def finish_fault(word: str | None) -> Fault | None:
    """Why a response that ended so cannot be used; null if it is whole, or nothing is said.

    Returns:
        None, or a fault: truncated (a token limit), blocked (a filter), cut (anything else that is not known to be whole).
    """
    if word is None or (plain := word.strip().lower()) in _WHOLE:
        return None
    said = "".join(c for c in word[:40] if c.isprintable())
    if plain in _TRUNCATED:
        return Fault("truncated", f"the model ran into its token limit (finish_reason is {said})")
    if plain in _BLOCKED:
        return Fault("blocked", f"a filter stopped the response (finish_reason is {said})")
    return Fault("cut", f"the response is not known to be whole (finish_reason is {said or 'empty'})")


def finish_word(*places: Mapping[str, Any]) -> str | None:
    """The word by which some columns say why the response ended, or null if they say nothing."""
    if all(TELLING.isdisjoint(columns) for columns in places):
        return None
    for columns in places:
        for name, unfinished in UNFINISHED.items():
            if columns.get(name) is unfinished:
                return f"{name}: {unfinished}".lower()
        if columns.get("status") in STATUSES:
            return str(columns["status"])
    for columns in places:
        for key in KEYS:
            if word := _word(columns.get(key)):
                return word
    return None


def _word(value: Any) -> str | None:
    if isinstance(value, Mapping):  # SGLang: {"type": "length", "length": 10}
        value = value.get("type")
    return value if isinstance(value, str) and value.strip() else None
