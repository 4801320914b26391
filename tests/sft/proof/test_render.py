from typing import Any

import pytest

from schemas.errors import RenderError
from sft.proof.families import check_family
from sft.proof.markup import THINK, completion_text, take_apart
from sft.proof.render import IGNORED, render
from tests.sft.conftest import families, sample_rows

FAMILIES = list(families())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_labels_are_the_whole_reasoning_and_answer_and_eos_and_nothing_of_the_prompt(
    tokenizers: dict[str, Any], family: str
) -> None:
    tokenizer = tokenizers[family]
    opened = "" if family != "qwen3" else "<think>\n"
    final = "<|channel|>final<|message|>"
    for row in sample_rows():
        rendered = render(tokenizer, row.prompt, row.reasoning, row.answer)
        learned = tokenizer.decode([label for label in rendered.labels if label != IGNORED])
        wanted = f"{opened}{row.reasoning}\n</think>\n\n{row.answer}"
        if family == "gptoss":
            thought = (
                f"<|channel|>analysis<|message|>{row.reasoning}<|end|><|start|>assistant"
                if row.reasoning
                else ""
            )
            wanted = thought + final + row.answer
        assert learned == wanted + tokenizer.eos_token
        assert rendered.labels[: rendered.prompt_length] == [IGNORED] * rendered.prompt_length


@pytest.mark.parametrize("family", FAMILIES)
def test_training_starts_from_the_very_tokens_inference_starts_from(
    tokenizers: dict[str, Any], family: str
) -> None:
    tokenizer = tokenizers[family]
    rendered = render(tokenizer, "How do I boil an egg?", "Eight minutes.", "Boil it.")
    messages = [{"role": "user", "content": "How do I boil an egg?"}]
    asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert rendered.input_ids[: rendered.prompt_length] == asked


def test_a_row_without_reasoning_gets_a_closed_empty_think_block() -> None:
    assert completion_text("", "Sorry.", THINK) == "<think>\n\n</think>\n\nSorry."
    assert take_apart("<think>\n\n</think>\n\nSorry.", THINK)[1::2] == ("", "Sorry.")


def test_the_r1_prompt_has_one_bos_though_its_tokenizer_adds_another_to_plain_text(
    tokenizers: dict[str, Any],
) -> None:
    tokenizer = tokenizers["r1"]
    text = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert tokenizer.encode(text).count(tokenizer.bos_token_id) == 2  # the trap
    assert render(tokenizer, "Hi", "So.", "Hello.").input_ids.count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no chat template"),
        ("{{ messages[0]['content'] }}<think>\n\n</think>\n\n", "closes the think block"),
        ("{{ messages[0]['content'] }}<think>", "shows no finished turn with reasoning"),
        ("{{ messages[0]['content'] }}<|channel|>", "say how the model writes it with markup"),
    ],
)
def test_refuses_a_family_whose_training_text_is_not_known(
    tokenizers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, template: str | None, message: str
) -> None:
    monkeypatch.setattr(tokenizers["own"], "chat_template", template)
    with pytest.raises(RenderError, match=message):
        check_family(tokenizers["own"])


def test_a_finished_turn_of_gpt_oss_is_that_of_its_own_template(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["gptoss"]
    for reasoning in ("Eight minutes.", ""):
        rendered = render(tokenizer, "How do I boil an egg?", reasoning, "Boil it.")
        turn = {"role": "assistant", "content": "Boil it."} | ({"thinking": reasoning} if reasoning else {})
        whole = tokenizer.apply_chat_template(
            [{"role": "user", "content": "How do I boil an egg?"}, turn], return_dict=False
        )
        assert rendered.input_ids == whole
        assert rendered.input_ids[-1] == tokenizer.convert_tokens_to_ids("<|return|>")


@pytest.mark.parametrize(
    "smuggled", ["<|channel|>final<|message|>", "<|end|>", "<|start|>", "</think>", "<think>"]
)
def test_marks_in_the_text_itself_are_never_proven(tokenizers: dict[str, Any], smuggled: str) -> None:
    from sft.proof.check import broken_claims
    from tests.sft.conftest import make_row

    tokenizer = tokenizers["own" if "think" in smuggled else "gptoss"]
    for row in (
        make_row("Hi", f"So {smuggled} so", "Hello."),
        make_row("Hi", "So", f"Hello {smuggled} there."),
    ):
        rendered = render(tokenizer, row.prompt, row.reasoning, row.answer)
        assert broken_claims(tokenizer, row, rendered, 512)
