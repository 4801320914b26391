"""A chat template comes with a model and is a program: it is bounded in time and memory, and its faults are named."""

from pathlib import Path
from typing import Any

import pytest

from curation.engines import Sampling, template_child, templates
from curation.engines.prompting import render
from curation.engines.templates import render_template
from schemas import EngineError

ASK = [{"role": "user", "content": "Hi 💣\ud800".encode("utf-8", "replace").decode()}]


class Tokenizer:
    """What is used of a tokenizer."""

    def __init__(self, template: str, folder: Path) -> None:
        self.special_tokens_map = {"bos_token": "<s>"}
        self.chat_template = template
        self.name_or_path = str(folder)
        (folder / "chat_template.jinja").write_text(template)

    def get_chat_template(self, tools: Any = None) -> str:
        return self.chat_template


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(templates, "SECONDS", 2.0)


def test_a_template_renders_as_transformers_does(tmp_path: Path) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    text = (
        "{{ bos_token }}{% for m in messages %}\n  {{ m.role }}: {{ m.content | tojson }}\n{% endfor %}"
        "{{ tools | tojson }}{% if add_generation_prompt %}<think>{% endif %}"
    )
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": [None, True]}}}]
    (expected,), _ = render_jinja_template(
        [ASK], tools, None, text, add_generation_prompt=True, bos_token="<s>"
    )
    assert render_template(Tokenizer(text, tmp_path), ASK, tools=tools) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(10**9) %}x{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 10**9 }}",
        "{{ 'a' * 10**12 }}",
        "{{ 10 ** (10 ** 10) }}",
        "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{{ ('a' * 10**6) | center(10**9) }}",
        "{{ '%0999999999d' | format(1) }}",
    ],
)
def test_a_template_without_end_or_measure_is_stopped_and_named(tmp_path: Path, quick, template: str) -> None:
    with pytest.raises(EngineError, match=r"chat_template\.jinja: the chat template fails: "):
        render_template(Tokenizer(template, tmp_path), ASK)


def test_a_fault_of_a_template_names_its_file_and_line(tmp_path: Path) -> None:
    for template, fault in (
        ("a\nb\n{% if %}", "line 3: TemplateSyntaxError"),
        ("a\n{{ raise_exception('no system turns') }}", "line 2: TemplateError: no system turns"),
        ("{{ messages[0].content.nothing.more }}", "line 1: UndefinedError"),
        ("a\n\n{{ ().__class__.__base__.__subclasses__() }}", "line 3: SecurityError"),
    ):
        with pytest.raises(
            EngineError, match=f"{tmp_path}/chat_template.jinja: the chat template fails: {fault}"
        ):
            render_template(Tokenizer(template, tmp_path), ASK)
    with pytest.raises(EngineError, match="cannot render a conversation of user"):
        render(Tokenizer("{{ 1 // 0 }}", tmp_path), ASK)


def test_a_program_that_does_not_start_in_time_is_no_fault_of_the_template(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(templates, "SECONDS_TO_START", 0.0)
    with pytest.raises(
        EngineError, match=r"cannot be started \(no answer in time\); if other programs keep"
    ) as told:
        templates.TemplateChild().ask({})
    assert not isinstance(told.value, templates.TemplateFault)


def test_after_a_template_that_was_stopped_the_next_is_rendered(tmp_path: Path, quick) -> None:
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(EngineError, match="more than 2 seconds"):
        render_template(Tokenizer(endless, tmp_path), ASK)
    assert render_template(Tokenizer("{{ messages[0].role }}", tmp_path), ASK) == "user"


def test_a_text_beyond_all_measure_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="a text of more than 20,000,000 characters"):
        render_template(Tokenizer(f"{{{{ 'a' * {template_child.LONGEST + 1} }}}}", tmp_path), ASK)


def test_settings_reach_the_template_and_none_takes_the_place_of_something_else(tmp_path: Path) -> None:
    tokenizer = Tokenizer("{{ enable_thinking }}{{ messages[0].content }}", tmp_path)
    tokenizer.encode = lambda text, **how: [ord(char) for char in text]  # type: ignore[attr-defined]
    sampling = Sampling(chat_template_kwargs={"enable_thinking": False})
    ids = render(tokenizer, [{"role": "user", "content": "Hi"}], True, sampling.chat_template_kwargs).ids
    assert "".join(map(chr, ids)) == "FalseHi"
    assert "chat_template_kwargs" in sampling.model_dump()
    assert "chat_template_kwargs" not in Sampling().model_dump()  # ids of traces stay as they were
    for bad in ({"messages": []}, {"bos_token": ""}, {"no name": 1}, {"a": float("nan")}, {"a": {1, 2}}):
        with pytest.raises(ValueError):
            Sampling(chat_template_kwargs=bad)
