"""What a model is asked: the whole conversation with its tools, as the template or the server takes it."""

import json
from typing import Any

import pytest

from curation.engines.prompting import asked, render, tools_apart
from curation.generate.strategies import shipped
from schemas.errors import EngineError

TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello", "reasoning": "A greeting."},
    {"role": "user", "content": "Two and two?"},
]
TOOLS = json.dumps([{"name": "add", "input_schema": {"type": "object"}}])


class Template:
    """A tokenizer of code points whose template tells everything that it is given."""

    chat_template = "told"

    def apply_chat_template(self, messages: Any, *, tools: Any = None, **how: Any) -> str:
        if messages[0]["role"] == "tool":
            raise ValueError("roles must alternate")
        return json.dumps([messages, tools])

    def encode(self, text: str, **how: Any) -> list[int]:
        return [ord(char) for char in text]


def test_the_template_gets_all_turns_and_the_tools_in_openais_form() -> None:
    sent = asked("Two and two?", TURNS, TOOLS)
    messages, tools = json.loads("".join(map(chr, render(Template(), sent).ids)))
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["reasoning_content"] == "A greeting."
    assert tools == [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    assert tools_apart(asked("x")) == ([{"role": "user", "content": "x"}], None)


def test_a_template_that_refuses_a_conversation_is_an_error_of_that_conversation() -> None:
    with pytest.raises(EngineError, match=r"conversation of tool, user.*roles must alternate"):
        render(Template(), [{"role": "tool", "content": "4"}, {"role": "user", "content": "x"}])


def test_an_instruction_joins_the_system_prompt_or_the_last_question() -> None:
    system = shipped("improved") if shipped("improved").system else shipped("realsafe")
    for strategy in (system, shipped("default")):
        sent, _ = tools_apart(strategy.messages("Two and two?", TURNS, TOOLS))
        assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
        assert sent[0]["content"].startswith("Be brief.")
        assert sent[-1]["content"].endswith("Two and two?")
