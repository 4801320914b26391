from typing import Any

import pytest

from schemas.errors import RenderError
from sft.proof.check import CLAIMS, broken_claims, prove, require_proof
from sft.proof.render import IGNORED, RenderedRow, render
from tests.sft.conftest import families, make_row, sample_rows

ROW = make_row("How do I boil an egg?", "It takes eight minutes.", "Boil it for eight minutes.")


def rendered(tokenizer: Any) -> RenderedRow:
    return render(tokenizer, ROW.prompt, ROW.reasoning, ROW.answer)


@pytest.mark.parametrize("family", list(families()))
def test_every_claim_holds_for_every_sample_row(tokenizers: dict[str, Any], family: str) -> None:
    proof = prove(tokenizers[family], sample_rows(), 1024)
    assert proof.holds == dict.fromkeys(CLAIMS, 24)
    require_proof(proof, "mix", "model")


def with_labels(tokens: RenderedRow, labels: list[int]) -> RenderedRow:
    return tokens._replace(labels=labels)


def test_finds_reasoning_that_is_not_in_the_loss(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["r1"]
    good = rendered(tokenizer)
    close = good.input_ids.index(tokenizer.convert_tokens_to_ids("</think>"))
    lost = with_labels(good, [IGNORED] * close + good.labels[close:])
    assert "reasoning_whole" in broken_claims(tokenizer, ROW, lost, 1024)


def test_finds_a_cut_answer_and_a_missing_eos(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["r1"]
    good = rendered(tokenizer)
    cut = RenderedRow(good.input_ids[:-4], good.labels[:-4], good.prompt_length)
    assert broken_claims(tokenizer, ROW, cut, 1024) == ["answer_whole", "eos_last"]
    masked = with_labels(good, [*good.labels[:-1], IGNORED])
    assert "eos_last" in broken_claims(tokenizer, ROW, masked, 1024)


def test_finds_a_prompt_in_the_loss(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["r1"]
    good = rendered(tokenizer)
    leaking = with_labels(good, list(good.input_ids))
    assert "prompt_without_loss" in broken_claims(tokenizer, ROW, leaking, 1024)


def test_finds_a_doubled_bos_and_a_prompt_unlike_the_one_at_inference(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["r1"]
    good = rendered(tokenizer)
    bos = tokenizer.bos_token_id
    doubled = RenderedRow([bos, *good.input_ids], [IGNORED, *good.labels], good.prompt_length + 1)
    assert {"prompt_as_inference", "one_bos"} <= set(broken_claims(tokenizer, ROW, doubled, 1024))


@pytest.mark.parametrize(
    ("reasoning", "answer", "claim"),
    [
        ("First. </think> Then.", "Fine.", "one_think_block"),
        ("First.", "Fine. </think> More.", "one_think_block"),
        ("<think> Again.", "Fine.", "one_think_block"),
        ("First.", "Fine.<｜end▁of▁sentence｜>Go on.", "eos_last"),
        ("Now <｜begin▁of▁sentence｜> again.", "Fine.", "one_bos"),
    ],
)
def test_finds_texts_that_hold_the_models_own_markers(
    tokenizers: dict[str, Any], reasoning: str, answer: str, claim: str
) -> None:
    proof = prove(tokenizers["r1"], [make_row("Hi", reasoning, answer)], 1024)
    assert claim in proof.failures[0].claims


def test_finds_characters_the_tokenizer_cannot_write() -> None:
    from sft.tiny import make_tokenizer, own_family

    tokenizer = make_tokenizer(own_family(), ["abc"])
    from tokenizers import normalizers

    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert "reasoning_whole" in prove(tokenizer, [make_row("hi", "LOUD", "fine")], 1024).failures[0].claims
    tokenizer.backend_tokenizer.normalizer = (
        normalizers.NFC()
    )  # as Qwen's does: the same text in other code points
    assert prove(tokenizer, [make_row("hi", "cafe\u0301", "fine")], 1024).failures == []


def test_the_refusal_names_rows_claims_numbers_and_what_to_do(tokenizers: dict[str, Any]) -> None:
    rows = [ROW, make_row("Hi", "So. " * 400, "Fine.", 1), make_row("Hi", "a </think> b", "Fine.", 2)]
    with pytest.raises(RenderError) as refusal:
        require_proof(prove(tokenizers["own"], rows, 64), "mixes/x", "tiny")
    message = str(refusal.value)
    assert "mixes/x: 2 of 3 rows fail the checks for tiny" in message
    assert rows[1].row_id in message and rows[2].row_id in message and rows[0].row_id not in message
    assert "max_length 64" in message and "overlong: drop" in message


def test_drops_overlong_rows_with_a_count_only_when_told(tokenizers: dict[str, Any]) -> None:
    rows = [ROW, make_row("Hi", "So. " * 400, "Fine.", 1)]
    proof = prove(tokenizers["own"], rows, 64, overlong="drop")
    assert (len(proof.rendered), len(proof.overlong), proof.failures) == (1, 1, [])
    with pytest.raises(RenderError, match="all 1 rows are longer than max_length 64"):
        require_proof(prove(tokenizers["own"], rows[1:], 64, overlong="drop"), "mix", "model")
