"""Chats become prompts with all their turns, whoever wrote them; nothing that a row carries is lost."""

import json
from typing import Any

import pytest

from curation.ingest.fields import COLUMNS, BadRow, FieldPath, trace_line
from curation.ingest.formats import FORMATS, detect, sort_out
from schemas.conversation import tool_definitions
from schemas.prompt import prompt_id

PLACE = FieldPath("f.jsonl", "f", "benign")
THOUGHT = "<think>\nSums.\n</think>\n\n"
USER = {"role": "user", "content": "Two and two?"}
LAST = {"role": "assistant", "content": f"{THOUGHT}Four."}
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"b": 2, "a": 2}'},
}
TOOLS = [{"name": "add", "input_schema": {"type": "object"}}]


def read(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The prompt and the trace of a row."""
    fields, extra = sort_out(FORMATS[detect(row) or ""], row)
    lines = trace_line(fields, extra, PLACE, 1)
    prompt = dict(zip(COLUMNS["prompts"], lines.prompt, strict=True))
    return prompt, None if lines.trace is None else dict(zip(COLUMNS["traces"], lines.trace, strict=True))


def shape(prompt: dict[str, Any]) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in prompt["turns"]]


def test_one_question_has_the_id_of_its_text_and_no_turns() -> None:
    prompt, trace = read({"messages": [USER, LAST]})
    assert prompt["turns"] is None and prompt["tools"] is None
    assert prompt["prompt_id"] == prompt_id("Two and two?")
    assert trace and trace["turns"] is None


def test_earlier_turns_keep_their_reasoning_wherever_it_stood() -> None:
    inline = {"role": "assistant", "content": "<think>a</think>Hello"}
    beside = {"role": "assistant", "content": "Hello", "reasoning_content": "a"}
    part = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "a"}, {"type": "text", "text": "Hello"}],
    }
    ids = set()
    for message in (inline, beside, part):
        prompt, trace = read({"messages": [{"role": "user", "content": "Hi"}, message, USER, LAST]})
        assert prompt["turns"][1] == {"role": "assistant", "content": "Hello", "reasoning": "a"}
        assert prompt["text"] == "Two and two?"
        assert trace and (trace["reasoning"], trace["answer"]) == ("Sums.", "Four.")
        ids.add(prompt["prompt_id"])
    assert len(ids) == 1 and prompt_id("Two and two?") not in ids


def test_calls_and_results_of_openai_anthropic_gemini_and_sharegpt_are_turns() -> None:
    openai = [
        USER,
        {"role": "assistant", "content": None, "reasoning_content": "Ask.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
        LAST,
    ]
    anthropic = [
        USER,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Ask."},
                {"type": "tool_use", "id": "c1", "name": "add", "input": {"b": 2, "a": 2}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "4"}]},
        LAST,
    ]
    gemini = [
        {"role": "user", "parts": [{"text": "Two and two?"}]},
        {
            "role": "model",
            "parts": [
                {"text": "Ask.", "thought": True},
                {"functionCall": {"name": "add", "args": {"b": 2, "a": 2}}},
            ],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "add", "response": {"sum": 4}}}]},
        LAST,
    ]
    for messages in (openai, anthropic, gemini):
        prompt, trace = read({"messages": messages, "tools": TOOLS})
        assert [turn["role"] for turn in prompt["turns"]] == ["user", "assistant", "tool"]
        assert prompt["turns"][1]["reasoning"] == "Ask."
        (call,) = json.loads(prompt["turns"][1]["tool_calls"])
        arguments = call["function"]["arguments"]
        assert (json.loads(arguments) if isinstance(arguments, str) else arguments) == {"a": 2, "b": 2}
        assert prompt["text"] == "Two and two?"
        assert json.loads(prompt["tools"]) == TOOLS
        assert trace and trace["tools"] == prompt["tools"]
    sharegpt = {
        "conversations": [
            {"from": "human", "value": "Two and two?"},
            {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 2}}'},
            {"from": "observation", "value": "4"},
            {"from": "gpt", "value": f"{THOUGHT}Four."},
        ],
        "system": "Be brief.",
        "tools": json.dumps(TOOLS),
    }
    prompt, trace = read(sharegpt)
    assert [turn["role"] for turn in prompt["turns"]] == ["system", "user", "assistant", "tool"]
    assert json.loads(prompt["turns"][2]["tool_calls"])[0]["function"]["name"] == "add"
    assert trace and trace["system"] == "Be brief."


def test_a_chat_that_ends_in_a_question_or_a_result_is_a_prompt_alone() -> None:
    for last in (USER, {"role": "tool", "content": "4"}):
        prompt, trace = read(
            {"messages": [USER, {"role": "assistant", "content": "Hm."}, last], "category": "sums"}
        )
        assert trace is None
        assert prompt["category"] == "sums" and len(prompt["turns"]) == 3
        assert prompt["text"] == "Two and two?"


def test_what_rows_and_messages_carry_beside_is_in_extra() -> None:
    first = {"role": "assistant", "content": "Hello", "weight": 0}
    row = {
        "messages": [USER, first, {**USER, "tool_calls": ["x"]}, {**LAST, "info": 1}],
        "tools": "none",
        "score": 3,
    }
    _, trace = read(row)
    assert trace and json.loads(trace["extra"]) == {
        "score": 3,
        "turns": {"2": {"weight": 0}, "3": {"tool_calls": ["x"]}},
        "tools": "none",
        "message": {"info": 1},
    }


def test_alpaca_history_is_the_earlier_turns() -> None:
    row = {"instruction": "B?", "input": "", "output": f"{THOUGHT}b", "history": [["A?", "a"]], "system": "S"}
    prompt, trace = read(row)
    assert shape(prompt) == [("system", "S"), ("user", "A?"), ("assistant", "a"), ("user", "B?")]
    assert trace and trace["answer"] == "b"
    prompt, _ = read({name: value for name, value in row.items() if name != "history"})
    assert shape(prompt) == [("system", "S"), ("user", "B?")]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "assistant", "content": "<think>never closed"}, "unclosed"),
        ({"role": "assistant", "content": "x", "reasoning": "a", "thinking": "b"}, "two_reasonings"),
        (
            {"role": "assistant", "content": "x", "tool_calls": [{"function": {"arguments": "{}"}}]},
            "wrong_type",
        ),
        ({"role": "user", "content": [{"type": "image", "url": "x"}]}, "wrong_type"),
        ({"role": "user", "content": "a\0b"}, "nul_character"),
    ],
)
def test_a_broken_earlier_turn_says_what_is_wrong(message: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow) as bad:
        read({"messages": [USER, message, USER, LAST]})
    assert bad.value.fault.reason == reason


def test_a_request_of_a_batch_brings_its_tools_and_its_settings() -> None:
    body = {"model": "m", "temperature": 0.5, "tools": TOOLS, "messages": [USER]}
    prompt, trace = read({"custom_id": "r1", "method": "POST", "url": "/v1", "body": body})
    assert trace is None
    assert json.loads(prompt["tools"]) == TOOLS and shape(prompt) == [("user", "Two and two?")]
    assert json.loads(prompt["extra"])["request"] == {"model": "m", "temperature": 0.5}


def test_gemini_s_declarations_are_tools() -> None:
    declared = [{"functionDeclarations": [{"name": "add"}, {"name": "take"}]}]
    prompt, _ = read({"contents": [{"role": "user", "parts": [{"text": "Two?"}]}], "tools": declared})
    names = [tool["function"]["name"] for tool in tool_definitions(prompt["tools"]) or []]
    assert names == ["add", "take"]


def test_functions_of_the_older_api_are_tools() -> None:
    called = {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": '{"a": 2}'}}
    result = {"role": "function", "name": "add", "content": "4"}
    prompt, trace = read({"messages": [USER, called, result, LAST], "functions": [{"name": "add"}]})
    assert json.loads(prompt["tools"]) == [{"name": "add"}]
    assert prompt["turns"][2] == {"role": "tool", "content": "4", "name": "add"}
    assert trace and trace["extra"] is None
