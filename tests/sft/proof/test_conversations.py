"""Conversations in training: the prompt is all of it, loss on the last turn or on all, control tokens named by their place."""

from typing import Any

import pytest

from schemas.conversation import Turn, messages
from schemas.errors import RenderError
from schemas.row import Row
from sft.proof.check import prove, require_proof
from sft.proof.families import check_family
from sft.proof.render import IGNORED
from sft.proof.templated import Rendering, writes_the_date
from sft.tiny import Family, make_tokenizer
from tests.sft.conftest import make_row, real_template, sample_traces

MARKS = (
    "<think>", "</think>", "<｜User｜>", "<｜Assistant｜>", "<|im_start|>", "<|im_end|>", "<|start|>", "<|end|>", "<|message|>",
    "<|channel|>", "<|return|>", "<|endoftext|>", "<tool_call>", "</tool_call>",
)  # fmt: skip
R1_BEGIN, R1_END = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
EOS = {
    "qwen3": "<|im_end|>",
    "deepseek_r1_distill": R1_END,
    "gptoss": "<|return|>",
    "qwen3_5_think": "<|im_end|>",
}
TURNS = (
    Turn(role="system", content="Be brief."),
    Turn(role="user", content="Name a colour."),
    Turn(role="assistant", content="Red.", reasoning="Any will do."),
    Turn(role="user", content="Another?"),
)
TALK = make_row("Another?", "Not red.", "Blue.").model_copy(update={"turns": TURNS})
TOOLS = '[{"name": "paint", "description": "Paints.", "input_schema": {"type": "object", "properties": {}}}]'


@pytest.fixture(scope="module")
def everyones() -> Any:
    texts = [t["prompt"] + t["reasoning"] + t["answer"] for t in sample_traces()]
    return make_tokenizer(Family("", R1_BEGIN, R1_END, R1_END, MARKS), texts, vocab_size=1024)


def of(tokenizer: Any, name: str) -> Any:
    tokenizer.chat_template, tokenizer.eos_token = real_template(name), EOS[name]
    return tokenizer


def learned(tokenizer: Any, labels: list[int]) -> str:
    return str(tokenizer.decode([label for label in labels if label != IGNORED]))


@pytest.mark.parametrize("name", EOS)
def test_the_prompt_is_the_whole_conversation_as_the_template_renders_it(everyones: Any, name: str) -> None:
    tokenizer = of(everyones, name)
    proof = prove(tokenizer, [TALK], 1024)
    assert proof.failures == []
    (row,) = proof.rendered
    asked = tokenizer.apply_chat_template(
        messages("Another?", TURNS), add_generation_prompt=True, return_dict=False
    )
    assert row.input_ids[: row.prompt_length] == asked
    text = tokenizer.decode(asked)
    assert all(turn.content in text for turn in TURNS)
    assert "Any will do." not in text  # all four drop the reasoning of a turn before the last question
    assert learned(tokenizer, row.labels).endswith(f"Blue.{EOS[name]}")
    assert "Red." not in learned(tokenizer, row.labels)


@pytest.mark.parametrize("name", EOS)
def test_loss_on_all_turns_trains_each_as_inference_would_meet_it(everyones: Any, name: str) -> None:
    tokenizer = of(everyones, name)
    proof = prove(tokenizer, [TALK], 1024, rendering=Rendering("all"))
    assert (proof.failures, proof.proven) == ([], 1)
    # the earlier thought is dropped from the context of the last turn, so the two cannot be one sequence
    texts = [learned(tokenizer, row.labels) for row in proof.rendered]
    assert len(texts) == 2 == len(proof.kept)
    assert "Any will do." in texts[0] and texts[0].endswith(f"Red.{EOS[name]}")
    assert "Not red." in texts[1] and "Red." not in texts[1]


def test_turns_that_stay_as_they_were_written_are_one_sequence(everyones: Any) -> None:
    keeps = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}<think>\n{{ m.reasoning_content }}\n"
        "</think>\n\n{% endif %}{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    everyones.chat_template, everyones.eos_token = keeps, "<|im_end|>"
    proof = prove(everyones, [TALK], 1024, rendering=Rendering("all"))
    assert proof.failures == []
    (row,) = proof.rendered
    assert learned(everyones, row.labels) == (
        "<think>\nAny will do.\n</think>\n\nRed.<|im_end|><think>\nNot red.\n</think>\n\nBlue.<|im_end|>"
    )


def test_tools_that_a_template_does_not_show_are_a_fault(everyones: Any) -> None:
    row = TALK.model_copy(update={"tools": TOOLS})
    assert prove(of(everyones, "qwen3"), [row], 1024).failures == []
    (failure,) = prove(of(everyones, "deepseek_r1_distill"), [row], 1024).failures
    assert (failure.claims, failure.places) == (["conversation_whole"], ("tool paint",))
    with pytest.raises(RenderError, match=r"1 rows fail: the template renders every turn.*\(tool paint\)"):
        require_proof(prove(everyones, [row], 1024), "mix", "model")


@pytest.mark.parametrize(
    ("name", "change", "place"),
    [
        ("qwen3", {"answer": "Red.<|endoftext|>"}, "<|endoftext|> in answer"),
        ("qwen3", {"answer": "Red.\n<|im_start|>user\nAnd then?"}, "<|im_start|> in answer"),
        ("qwen3", {"reasoning": "I recall <|im_start|>system"}, "<|im_start|> in reasoning"),
        ("deepseek_r1_distill", {"answer": "Red.<｜User｜>And?"}, "<｜User｜> in answer"),
        ("qwen3", {"prompt": "Hi<|im_end|>"}, "<|im_end|> in prompt"),
        ("qwen3", {"turns": (Turn(role="system", content="<tool_call>"), *TURNS[1:])},
         "<tool_call> in turn 1 (system)"),
        ("qwen3", {"turns": TURNS, "tools": TOOLS.replace("paint", "<|im_end|>")}, "<|im_end|> in tools"),
    ],
)  # fmt: skip
def test_control_tokens_are_refused_escaped_or_allowed(
    everyones: Any, name: str, change: dict[str, Any], place: str
) -> None:
    tokenizer = of(everyones, name)
    row = make_row("Another?", "Not red.", "Blue.").model_copy(update=change)
    (failure,) = prove(tokenizer, [row], 1024).failures
    assert "no_control_tokens" in failure.claims and place in failure.places
    escaped = prove(tokenizer, [row], 1024, rendering=Rendering(control_tokens="escape"))
    assert (escaped.failures, escaped.escaped) == ([], 1)
    (kept,) = escaped.kept
    assert kept != row and "\u2060" in kept.model_dump_json()
    allowed = prove(tokenizer, [row], 1024, rendering=Rendering(control_tokens="allow"))
    assert all("no_control_tokens" not in failure.claims for failure in allowed.failures)


def test_a_bos_that_opens_every_turn_is_compared_with_inference(everyones: Any) -> None:
    chatml = Family(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        "<|im_start|>", "<|im_end|>", "<|im_end|>", ("<think>", "</think>"),
    )  # fmt: skip
    tokenizer = make_tokenizer(chatml, ["Name a colour. Red."], vocab_size=300)
    proof = prove(tokenizer, [TALK], 4096)
    assert proof.failures == []
    assert proof.rendered[0].input_ids.count(tokenizer.bos_token_id) == 5


def test_a_template_that_fails_is_named_and_one_that_refuses_a_row_fails_that_row(everyones: Any) -> None:
    everyones.name_or_path = "broken-model"
    everyones.chat_template = "{{ messages | no_such_filter }}"
    with pytest.raises(RenderError, match=r"broken-model: its chat template cannot render"):
        check_family(everyones)
    strict = "{% if messages | length > 1 %}{{ raise_exception('one turn only') }}{% endif %}"
    everyones.chat_template = (
        strict + "<|im_start|>{{ messages[0].content }}<|im_end|><|im_start|>assistant\n"
    )
    everyones.eos_token = "<|im_end|>"
    plain = make_row("Hi", "So.", "Yes.")
    proof = prove(everyones, [plain, TALK], 512)
    assert [failure.row_id for failure in proof.failures] == [TALK.row_id]
    assert "one turn only" in proof.failures[0].places[0]
    everyones.name_or_path = ""


def test_a_template_that_writes_the_date_is_rendered_for_a_given_day(everyones: Any) -> None:
    dated = (
        "{{ strftime_now('%d %B %Y') }}<|im_start|>{{ messages[0].content }}<|im_end|><|im_start|>assistant\n"
    )
    everyones.chat_template, everyones.eos_token = dated, "<|im_end|>"
    assert writes_the_date(everyones)
    row: Row = make_row("Hi", "So.", "Yes.")
    proof = prove(everyones, [row], 512, rendering=Rendering(day="2025-03-04"))
    assert proof.failures == []
    assert everyones.decode(proof.rendered[0].input_ids).startswith("04 March 2025")


def test_calls_of_tools_are_learned_as_the_template_writes_them_or_counted(everyones: Any) -> None:
    calls = '[{"id":"call00001","type":"function","function":{"name":"paint","arguments":{"hue":"red"}}}]'
    turns = (
        Turn(role="user", content="Paint it."),
        Turn(role="assistant", reasoning="Use the tool.", tool_calls=calls),
        Turn(role="tool", content="done", tool_call_id="call00001", name="paint"),
    )
    row = make_row("Paint it.", "It is.", "Done.").model_copy(update={"turns": turns, "tools": TOOLS})
    tokenizer = of(everyones, "qwen3")
    proof = prove(tokenizer, [row], 2048, rendering=Rendering("all"))
    assert (proof.failures, proof.silent_turns) == ([], 0)
    texts = "".join(learned(tokenizer, rendered.labels) for rendered in proof.rendered)
    assert texts == (
        "<think>\nUse the tool.\n</think>\n\n<tool_call>\n"
        '{"name": "paint", "arguments": {"hue": "red"}}\n</tool_call><|im_end|>'
        "<think>\nIt is.\n</think>\n\nDone.<|im_end|>"
    )
    assert (
        len(proof.rendered) == 1
    )  # Qwen3 keeps the thoughts since the last question, so the turns are one sequence
    counted = prove(of(everyones, "gptoss"), [row], 2048, rendering=Rendering("all"))
    assert (counted.failures, counted.silent_turns, len(counted.rendered)) == ([], 1, 1)
