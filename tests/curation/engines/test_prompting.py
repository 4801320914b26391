"""What a model is asked: the whole conversation with its tools, as the template or the server takes it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from curation.engines import Message, Reply, Sampling
from curation.engines.prompting import asked, render, tools_apart
from curation.engines.streaming import Question, stream
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

    chat_template = (
        "{% if messages[0].role == 'tool' %}{{ raise_exception('roles must alternate') }}{% endif %}"
        "{{ [messages, tools] | tojson }}"
    )
    name_or_path = ""
    special_tokens_map: dict[str, str] = {}  # noqa: RUF012 - as a tokenizer has it

    def get_chat_template(self, tools: Any = None) -> str:
        return self.chat_template

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


class Refusing:
    """An engine that renders, and answers with the number of its turns."""

    name = "refusing@1"

    def chat(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        for messages in conversations:
            render(Template(), messages)
        return [Reply("", str(len(messages)), "closed", "stop", 1, 0, 1) for messages in conversations]


def test_an_unfit_conversation_fails_alone() -> None:
    good: list[Message] = [{"role": "user", "content": "Hi"}]
    unfit: list[Message] = [{"role": "tool", "content": "4"}, *good]
    found = dict(stream(Refusing(), [Question(asked, 0) for asked in (good, unfit, good)], Sampling()))
    assert [type(found[place]).__name__ for place in range(3)] == ["Reply", "UnfitConversation", "Reply"]
