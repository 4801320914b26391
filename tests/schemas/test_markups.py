"""Every family of markups is read alike, and what looks like a thought is never an answer."""

from pathlib import Path

import pytest

from curation.engines import take_apart
from curation.ingest.fields import FieldPath, trace_line
from curation.ingest.formats import FORMATS, sort_out
from schemas.response import read, separate, split
from schemas.response.markups import FAMILIES, table
from schemas.response.messages import WrongPart, read_message

THOUGHT, SAID = "The person wants a colour.", "Red."
EXAMPLES = [family.example.replace("R", "\0").replace("A", SAID).replace("\0", THOUGHT) for family in FAMILIES if family.name not in ("cohere", "ollama")]  # fmt: skip
RIGHT = [
    *EXAMPLES,
    f"<|START_THINKING|>{THOUGHT}<|END_THINKING|><|START_RESPONSE|>{SAID}<|END_RESPONSE|>",
    f"<|start|>assistant<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{SAID}<|return|>",
    f"analysis{THOUGHT}assistantfinal{SAID}",
    f"{THOUGHT}assistantfinal{SAID}",
    f"{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{SAID}",
    f"{THOUGHT}\n</think>\n\n{SAID}",
    f"{THOUGHT}[/THINK]{SAID}",
    f"{THOUGHT}</seed:think>{SAID}",
    f"\ufeff<think>\n{THOUGHT}\n</think>\n\n{SAID}",
    f"<｜Assistant｜><think>\n{THOUGHT}\n</think>\n\n{SAID}<｜end▁of▁sentence｜>",
    f"<|im_start|>assistant\n<think>\n{THOUGHT}\n</think>\n\n{SAID}<|im_end|>\n",
    f"<|start_header_id|>assistant<|end_header_id|>\n\n<think>{THOUGHT}</think>{SAID}<|eot_id|>",
    f"Assistant: <think>{THOUGHT}</think>{SAID}",
    f"<THINK>{THOUGHT}</THINK>{SAID}",
    f"< think >{THOUGHT}</ think >{SAID}",
    f'<think duration="5">{THOUGHT}</think>{SAID}',
    f"<think>\n<think>\n{THOUGHT}\n</think>\n\n{SAID}",
    f"<think>{THOUGHT}</think>\n</think>\n\n{SAID}",
    f"<think>{THOUGHT}</think>\n<answer>\n{SAID}\n</answer>",
    f"<think>{THOUGHT}</think>\n<answer>{SAID}",
    f"<think>{THOUGHT}</think>\n<response>{SAID}</response>\n",
    f"<think>{THOUGHT}</think>{SAID}</answer>",
]
"""Responses in every markup; all say the same."""

NEVER = [
    ("<scratchpad>a</scratchpad>b", "unknown_markup"),
    ("<my_thoughts>a</my_thoughts>b", "unknown_markup"),
    ("{{reasoning}}a{{/reasoning}}b", "unknown_markup"),
    ("【思考】a【/think】b", "unknown_markup"),
    ("&lt;think&gt;a&lt;/think&gt;b", "unknown_markup"),
    ("a&lt;/think&gt;b", "unknown_markup"),
    ("Thinking Process:\n\n1. a", "unknown_markup"),
    ("**Thinking:** a\n\n**Answer:** b", "unknown_markup"),
    ("thought\na\nb", "unknown_markup"),
    ('<details type="reasoning" done="true"><summary>a</summary></details>b', "unknown_markup"),
    ("[THINK]a", "unclosed"),
    ("<think>a</thinking>b", "unclosed"),
    ("<|channel|>analysis<|message|>a", "unclosed"),
    ("analysisWe need a", "unclosed"),
    ("Well. [THINK]a[/THINK]b", "text_before_think"),
    ("<think>a</think><thinking>b</thinking>c", "several"),
    ("[THINK]a[/THINK]b[THINK]c[/THINK]d", "several"),
    ("<|channel|>commentary to=functions.look<|message|>{}<|call|>", "tool_call"),
    ("<think>a</think><tool_call>{}</tool_call>", "tool_call"),
    ("<|channel>thought\na<channel|>", "empty_answer"),
    (" \n", "empty_answer"),
]


@pytest.mark.parametrize("text", RIGHT)
def test_a_response_in_any_markup_is_the_same_to_ingest_engines_and_servers(text: str) -> None:
    fields, extra = sort_out(FORMATS["study"], {"prompt": "Name a colour.", "response": text})
    line = trace_line(fields, extra, FieldPath("f", "f", None), 1).trace
    reply = take_apart(text, "stop", 1, len)
    served = read_message({"content": text, "reasoning_content": ""})
    assert tuple(split(text)) == (THOUGHT, SAID)
    assert line is not None
    assert tuple(line[2:4]) == (THOUGHT, SAID)
    assert (*reply[:2], reply.think_state) == (THOUGHT, SAID, "closed")
    assert tuple(served) == (THOUGHT, SAID, None)


@pytest.mark.parametrize("text", RIGHT)
def test_a_response_in_any_markup_beside_the_same_reasoning_is_read_once(text: str) -> None:
    assert tuple(separate(THOUGHT, text)) == (THOUGHT, SAID)


@pytest.mark.parametrize(("text", "state"), NEVER)
def test_what_is_no_reasoning_followed_by_an_answer_has_no_answer(text: str, state: str) -> None:
    found = read(text)
    assert found.state == state
    assert found.state not in ("closed", "no_think")


@pytest.mark.parametrize(
    "text", ["Red.", "Analysis: red is one.", "analysis of it", "It is <b>red</b>, a > b.", "[1, 2]", "Reasoning by cases, it is red."]
)  # fmt: skip
def test_an_ordinary_answer_is_one_without_a_thought(text: str) -> None:
    assert tuple(read(text)[:2]) == ("", text)
    assert read(text).state == "no_think"


def test_a_separate_reasoning_may_stand_in_its_own_tags_and_an_answer_may_speak_of_them() -> None:
    assert tuple(separate(f"<think>\n{THOUGHT}\n</think>", SAID)) == (THOUGHT, SAID)
    assert tuple(separate(f"[THINK]{THOUGHT}[/THINK]", SAID)) == (THOUGHT, SAID)
    assert tuple(separate(THOUGHT, "Use [THINK] or <reasoning>.")) == (THOUGHT, "Use [THINK] or <reasoning>.")


def part(kind: str, **fields: object) -> dict[str, object]:
    return {"type": kind, **fields}


TEXT = part("text", text=SAID)


@pytest.mark.parametrize(
    "message",
    [
        {"content": SAID, "reasoning": THOUGHT},
        {"content": SAID, "reasoning": "", "reasoning_content": THOUGHT},
        {"content": SAID, "reasoning": None, "thinking": THOUGHT},
        {"content": SAID, "reasoning": THOUGHT, "reasoning_content": THOUGHT + "\n"},
        {"content": SAID, "reasoning_details": [part("reasoning.text", text=THOUGHT)]},
        {"content": SAID, "thinking_blocks": [part("thinking", thinking=THOUGHT)]},
        {"content": [part("thinking", thinking=THOUGHT, signature="x"), TEXT]},
        {"content": [part("thinking", thinking=[part("text", text=THOUGHT)]), TEXT]},
        {"content": [part("reasoning", text=THOUGHT), TEXT]},
        {"content": [{"reasoningContent": {"reasoningText": {"text": THOUGHT}}}, {"text": SAID}]},
        {"role": "model", "parts": [{"text": THOUGHT, "thought": True}, {"text": SAID}]},
        {"content": [part("reasoning", summary=[part("summary_text", text=THOUGHT)]), part("message", content=[part("output_text", text=SAID)])]},
        {"content": f"<think>{THOUGHT}</think>{SAID}", "reasoning": THOUGHT, "tool_calls": [], "refusal": None},
    ],
)  # fmt: skip
def test_a_message_of_any_api_is_the_same(message: dict[str, object]) -> None:
    assert tuple(read_message(message)) == (THOUGHT, SAID, None)


@pytest.mark.parametrize(
    ("message", "state"),
    [
        ({"content": SAID, "reasoning": "One.", "reasoning_content": "Two."}, "two_reasonings"),
        ({"content": "<think>One.</think>Red.", "reasoning": "Two."}, "two_reasonings"),
        ({"content": "Look.", "tool_calls": [{"type": "function"}]}, "tool_call"),
        ({"content": [TEXT, part("tool_use", name="look")]}, "tool_call"),
        ({"content": [part("redacted_thinking", data="x"), TEXT]}, "hidden_reasoning"),
        ({"content": ""}, "empty_answer"),
        ({"content": None}, "empty_answer"),
    ],
)
def test_a_message_that_is_no_answer_says_why(message: dict[str, object], state: str) -> None:
    assert read_message(message).state == state


def test_both_of_two_reasonings_are_kept() -> None:
    found = read_message({"content": SAID, "reasoning": "One.", "reasoning_content": "Two."})
    assert (found.reasoning, found.answer) == ("One.\n\nTwo.", SAID)


def test_a_refusal_field_is_an_answer() -> None:
    found = read_message({"content": None, "refusal": "I can't help."})
    assert (found.answer, found.state) == ("I can't help.", "no_think")


def test_an_image_is_no_answer() -> None:
    with pytest.raises(WrongPart):
        read_message({"content": [part("image", url="x")]})


@pytest.mark.parametrize(
    "word", ["stop", "STOP", "end_turn", "eos", "eos_token", "stop_sequence", "completed", None]
)
def test_a_word_for_whole_makes_an_answer(word: str | None) -> None:
    assert read(f"<think>{THOUGHT}</think>{SAID}", word).state == "closed"


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("length", "truncated"), ("max_tokens", "truncated"), ("MAX_TOKENS", "truncated"), ("model_length", "truncated"),
        ("content_filter", "blocked"), ("SAFETY", "blocked"), ("refusal", "blocked"),
        ("abort", "cut"), ("error", "cut"), ("null", "cut"), ("a new word", "cut"), ("is_reasoning_complete: false", "cut"),
    ],
)  # fmt: skip
def test_any_other_word_makes_none_and_is_named(word: str, state: str) -> None:
    fault = read(f"<think>{THOUGHT}</think>{SAID}", word).fault
    assert fault
    assert fault.reason == state
    assert word in fault.detail


def test_the_docs_have_the_table_of_families() -> None:
    docs = Path(__file__).resolve().parents[2] / "docs" / "data-format.md"
    assert table() in docs.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "unit", ["<", "<think ", "</", "[", "&lt;", "*", "assistant", "<|channel|>", " ", "\n", "{{"]
)
def test_a_long_text_of_marks_is_read_in_linear_steps(unit: str) -> None:
    text = unit * 20_000
    assert read(text).reasoning + read(text).answer in (text, text.strip("\r\n"), "") or read(text).fault
