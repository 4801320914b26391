"""Shortcuts for plain texts say just what the whole reading says: on random texts, put together from everything that is a mark somewhere."""

import random

import pytest

from schemas.response import markups, separate, split, splitting
from schemas.response.finish import KEYS, finish_word

PIECES = [
    *(family.example for family in markups.FAMILIES),
    *("<think>", "</think>", "<THINK>", "[THINK]", "[/THINK]", "<answer>", "</answer>", "</s>", "<eos>", "<|im_end|>", "[|endofturn|]"),
    *("analysis", "assistantfinal", "assistantfinalYes", "Assistant:\n", "model\n", "gpt:", "[/INST]", "<s>", "<tool_call>", "</tool_call>"),
    *("Here is my thought process:", "here's my response:", "Thinking...\n", "...done thinking.", "thinking:", "Thought process:", "## Thoughts\n"),
    *("思考：", "&lt;think&gt;", "\\u003cthink\\u003e", "{{/think}}", "【think】", "◁think▷", "\ufeff", "\u200b", "İ", "ſ", "é"),
    *(" ", "\n", "\t", "a", "A", "T", "H", "I", ">", "]", "$x_{1}$", "if a < b", "Sure, here it is.", "The answer is 4.", " x" * 50, "ha " * 200),
]  # fmt: skip


def texts(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(PIECES, k=rng.choice([0, 1, 1, 2, 3, 5, 8]))) for _ in range(count)]


def test_a_plain_text_is_read_as_it_is_without_shortcuts(monkeypatch: pytest.MonkeyPatch) -> None:
    reasonings, answers = texts(1, 3000), texts(2, 3000)
    quick = [(separate(r, a), split(a)) for r, a in zip(reasonings, answers, strict=True)]
    for module in (markups, splitting):
        monkeypatch.setattr(module, "may_have_mark", lambda text: True)
    monkeypatch.setattr(
        splitting, "find_tail", lambda text, reach: markups.patterns().tail.search(text, reach)
    )
    whole = [(separate(r, a), split(a)) for r, a in zip(reasonings, answers, strict=True)]
    assert quick == whole
    assert 100 < sum(isinstance(found, splitting.Split) for found, _ in quick) < 2900


@pytest.mark.parametrize("key", [*KEYS, "status", "done", "truncated"])
def test_every_column_that_tells_of_the_end_is_looked_at(key: str) -> None:
    value = {"status": "incomplete", "done": False, "truncated": True}.get(key, "length")
    assert finish_word({"other": 1}, {}, {key: value})
    assert finish_word({"other": 1}, {}) is None
