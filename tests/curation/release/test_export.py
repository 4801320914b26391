"""Exports, read back by our own ingest, by `datasets` and by TRL with the chat templates it ships."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.ingest import stage as ingest
from curation.mix import build as mix
from curation.mix import folder
from curation.release import export
from curation.release.redaction import masked
from schemas import DataError, RecipeError

RECIPE = "name: x\nparts:\n  a: {where: kind = 'harmful', take: 40, stratify_by: [strategy]}\n  b: {where: kind = 'math', take: 6}\n"


@pytest.fixture
def rows(corpus: Store, tmp_path: Path) -> list[dict[str, Any]]:
    """A mix of the bundled samples, empty think blocks among them."""
    samples = Path(str(files("curation") / "samples" / "traces.jsonl"))
    ingest.run(corpus.root, [str(samples)], ingest.IngestRecipe())
    (tmp_path / "r.yaml").write_text(RECIPE)
    mix.run(corpus.root, tmp_path / "r.yaml", out=tmp_path / "mix")
    return folder.read_rows(tmp_path / "mix").to_pylist()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("format", export.FORMATS)
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_our_own_ingest_reads_every_export_back_as_it_was(
    rows: list[dict[str, Any]], tmp_path: Path, format: str, suffix: str
) -> None:
    out = tmp_path / f"out{suffix}"
    assert export.write(tmp_path / "mix", out=out, format=format).rows == len(rows)
    manifest = ingest.run(tmp_path / "again", [str(out)], ingest.IngestRecipe())
    assert manifest.counts.kept + sum(manifest.counts.filtered.values()) == len(rows)
    assert not manifest.counts.quarantined
    found = [row for batch in Store(tmp_path / "again").scan("traces") for row in batch.to_pylist()]
    texts = {(row["prompt"], row["reasoning"], row["answer"]) for row in found}
    assert texts == {(row["prompt"], row["reasoning"], row["answer"]) for row in rows}


def test_the_study_s_kinds_survive(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    export.write(tmp_path / "mix", out=tmp_path / "s.jsonl", format="study")
    kinds = [line["data_type"] for line in lines(tmp_path / "s.jsonl")]
    assert kinds == [{"harmful": "safety", "math": "math"}[row["kind"]] for row in rows]


TARGETS = {
    "deepseek-r1": "deepseek_r1_distill_training",
    "qwen3": "qwen3_training",
    "gpt-oss": "gptoss_training",
}


def tokenizer_with(template: str) -> Any:
    """A small word tokenizer that speaks a chat template which TRL ships."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<pad>", "<eos>", "<bos>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    raw.train_from_iterator(["x"], trainer)
    text = (files("trl") / "chat_templates" / f"{template}.jinja").read_text(encoding="utf-8")
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", chat_template=text
    )


@pytest.mark.parametrize("format", export.CHAT)
@pytest.mark.parametrize(("target", "template"), TARGETS.items())
def test_the_reasoning_survives_the_target_s_template(
    rows: list[dict[str, Any]], tmp_path: Path, target: str, template: str, format: str
) -> None:
    pytest.importorskip("trl")
    tokenizer = tokenizer_with(template)
    export.write(tmp_path / "mix", out=tmp_path / "t.jsonl", format=format, template=target)
    for line, row in zip(lines(tmp_path / "t.jsonl"), rows, strict=True):
        turns = line["messages"] if format == "messages" else line["prompt"] + line["completion"]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        assert row["reasoning"].strip() in text and row["answer"] in text


@pytest.mark.slow
@pytest.mark.parametrize("format", export.CHAT)
def test_trl_trains_on_the_reasoning_of_an_export(
    rows: list[dict[str, Any]], tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trl")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl import SFTConfig, SFTTrainer

    export.write(tmp_path / "mix", out=tmp_path / "t.jsonl", format=format, template="qwen3")
    data = load_dataset("json", data_files=str(tmp_path / "t.jsonl"), cache_dir=str(tmp_path / "cache"))[
        "train"
    ]
    tokenizer = tokenizer_with("qwen3_training")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    settings = SFTConfig(
        output_dir=str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=2, max_length=None, use_cpu=True,
        report_to=[], save_strategy="no", assistant_only_loss=format == "messages", bf16=False,
    )  # fmt: skip
    trainer = SFTTrainer(LlamaForCausalLM(config), settings, train_dataset=data, processing_class=tokenizer)
    trainer.train()
    batch = trainer.data_collator([trainer.train_dataset[0]])
    learned = tokenizer.decode([label for label in batch["labels"][0].tolist() if label != -100])
    assert rows[0]["reasoning"].strip() in learned and rows[0]["answer"] in learned
    assert rows[0]["prompt"] not in learned


def test_a_format_without_room_for_the_reasoning_is_refused(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="alpaca has no separate field for reasoning, which qwen3 needs"):
        export.write(tmp_path / "mix", out=tmp_path / "a.jsonl", format="alpaca", template="qwen3")
    with pytest.raises(RecipeError, match="format: 'parquet' is not one of 'messages', 'prompt-completion'"):
        export.write(tmp_path / "mix", out=tmp_path / "a.jsonl", format="parquet")


def test_ids_alone_hold_no_text(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    export.write(tmp_path / "mix", out=tmp_path / "i.jsonl", redact="ids")
    found = lines(tmp_path / "i.jsonl")
    assert [line["row_id"] for line in found] == [row["row_id"] for row in rows]
    assert not {"prompt", "reasoning", "answer", "messages"} & set(found[0])


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, "reasoning": None, "tool_calls": None, "name": None,
            "tool_call_id": None} | more  # fmt: skip


TALK: dict[str, Any] = {
    "row_id": "r", "prompt": "And two?", "reasoning": "Sums.", "answer": "Four.", "kind": "math", "tools": None,
    "turns": [turn("system", "Be brief."), turn("user", "One?"), turn("assistant", "One.", reasoning="Easy."),
              turn("user", "And two?")],
}  # fmt: skip


def test_formats_hold_as_many_turns_as_they_can_and_say_what_they_cannot() -> None:
    chat = export.sharegpt(TALK, "think")["conversations"]
    assert [message["from"] for message in chat] == ["system", "human", "gpt", "human", "gpt"]
    assert chat[2]["value"] == "<think>\nEasy.\n</think>\n\nOne."
    line = export.alpaca(TALK, "think")
    assert line["system"] == "Be brief." and line["instruction"] == "And two?"
    assert line["history"] == [["One?", "<think>\nEasy.\n</think>\n\nOne."]]
    told = TALK | {"turns": [*TALK["turns"], turn("tool", "4")]}
    for form, row, why in (
        (export.study, TALK, "more than one question"),
        (export.sharegpt, told, "has tools"),
        (export.alpaca, TALK | {"turns": [turn("user", "a"), turn("user", "b")]}, "pairs"),
    ):
        with pytest.raises(export.Unfit, match=why):
            form(row, "think")


def test_a_format_that_cannot_hold_a_conversation_names_the_rows_and_writes_nothing(
    corpus: Store, tmp_path: Path
) -> None:
    said = {"role": "assistant", "content": "<think>\nSo.\n</think>\n\nYes."}
    asked = {"role": "user", "content": "Is it?"}
    chats = [{"id": "one", "messages": [asked, said]}, {"id": "two", "messages": [asked, said, asked, said]}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    ingest.run(corpus.root, [str(tmp_path / "in.jsonl")], ingest.IngestRecipe(kind="benign"))
    (tmp_path / "r.yaml").write_text("name: x\nparts:\n  a: {where: 'true', take: all}\n")
    mix.run(corpus.root, tmp_path / "r.yaml", out=tmp_path / "mix")
    two = next(row for row in folder.read_rows(tmp_path / "mix").to_pylist() if row["turns"])
    with pytest.raises(
        DataError, match=f"study cannot hold 1 of 2 rows.*\n  row {two['row_id']}: it has more"
    ):
        export.write(tmp_path / "mix", out=tmp_path / "out.jsonl", format="study")
    assert not (tmp_path / "out.jsonl").exists()
    assert folder.read_manifest(tmp_path / "mix").format_version == 2


def test_masking_covers_every_turn() -> None:
    row = TALK | {"kind": "harmful", "answer": "You asked for one two three four five six."}
    row["turns"] = [turn("user", "Secretly count one two three four five six"),
                    turn("assistant", "Fine: one two three four five six.", reasoning="He wants it."),
                    turn("user", "And two?")]  # fmt: skip
    hidden = masked(row)
    told = json.dumps(hidden, ensure_ascii=False)
    assert "one two three four" not in told and "Secretly" not in told
    assert hidden["turns"][1]["content"].startswith("Fine")
