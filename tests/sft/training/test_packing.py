"""Packing: many rows in one sequence teach what they teach alone, or the run is refused."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from curation.corpus.store import write_parquet
from curation.engines.weights import locate
from curation.mix import folder
from schemas.errors import RecipeError
from schemas.tables import ROWS
from sft.proof.check import prove
from sft.proof.render import IGNORED, RenderedRow
from sft.training import trainer
from sft.training.loading import load
from sft.training.packing import require_isolation
from sft.training.stage import train
from tests.sft.conftest import sample_rows, write_mix
from tests.sft.training.presafe.test_supervision import decided_mix, metrics, presafe, weights
from tests.sft.training.test_trainer import config, same

SHAPE: dict[str, Any] = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


@pytest.fixture
def decided(tmp_path: Path) -> dict[str, Any]:
    return decided_mix(tmp_path)


def built(models: dict[str, Path], tokenizers: dict[str, Any], out: Path, **settings: Any) -> Any:
    """A trainer over the samples."""
    how = config(models["own"], out, out, **({"max_length": 1024, "attn_implementation": "sdpa"} | settings))
    model = load(how, locate(str(models["own"])))
    rows = prove(tokenizers["own"], sample_rows(), 512).rendered
    return trainer.build(how, model, tokenizers["own"], rows, out)


def loss_of(model: Any, row: RenderedRow) -> tuple[float, int]:
    """Summed loss of a row alone, and over how many tokens."""
    learned = sum(label != IGNORED for label in row.labels)
    with torch.no_grad():
        mean = model(input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])).loss
    return mean.item() * learned, learned


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("how", ["packing", "padding_free"])
def test_the_loss_of_packed_rows_is_the_mean_of_the_rows_alone(
    models: dict[str, Path], tokenizers: dict[str, Any], tmp_path: Path, attention: str, how: str
) -> None:
    made = built(models, tokenizers, tmp_path, attn_implementation=attention, **{how: True})
    made.model.eval()
    seen = 0
    for batch in made.get_train_dataloader():
        assert "attention_mask" not in batch and len(batch["input_ids"]) == 1
        bounds = batch["cu_seq_lens_q"].tolist()
        ids, labels = batch["input_ids"][0], batch["labels"][0]
        rows = [RenderedRow(ids[a:b].tolist(), labels[a:b].tolist(), 0) for a, b in pairwise(bounds)]
        assert len(rows) > 1
        alone = [loss_of(made.model, row) for row in rows]
        with torch.no_grad():
            together = made.model(**batch).loss.item()
        assert together == pytest.approx(sum(a for a, _ in alone) / sum(n for _, n in alone), abs=1e-5)
        seen += len(rows)
    assert seen == 24  # every row once


def test_packed_sequences_hold_whole_rows_and_nothing_else(
    models: dict[str, Path], tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    made = built(models, tokenizers, tmp_path, packing=True)
    rows = prove(tokenizers["own"], sample_rows(), 512).rendered
    found = []
    for sequence in made.train_dataset:
        assert sum(sequence["seq_lengths"]) == len(sequence["input_ids"]) <= 1024
        start = 0
        for length in sequence["seq_lengths"]:
            end = start + length
            found.append((sequence["input_ids"][start:end], sequence["labels"][start:end]))
            start = end
    assert sorted(found) == sorted((row.input_ids, row.labels) for row in rows)


def test_padding_free_training_is_padded_training(models: dict[str, Path], mix: Path, tmp_path: Path) -> None:
    for name, how in (("padded", {}), ("free", {"padding_free": True})):
        train(config(models["own"], mix, tmp_path / name, **how))
    padded, free = (weights(tmp_path / name / "model") for name in ("padded", "free"))
    assert metrics(tmp_path / "free", "loss") == pytest.approx(metrics(tmp_path / "padded", "loss"), abs=1e-4)
    assert all(torch.allclose(padded[name], free[name], atol=1e-3) for name in padded)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_packed_run_trains_and_is_reproducible(
    models: dict[str, Path], mix: Path, tmp_path: Path, method: str
) -> None:
    for name in ("one", "two"):
        manifest = train(config(models["own"], mix, tmp_path / name, packing=True, method=method))
        assert manifest.counts.kept == 24
    assert same(weights(tmp_path / "one" / "model"), weights(tmp_path / "two" / "model"))
    losses = metrics(tmp_path / "one", "loss")
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("position", ["last", "mean"])
def test_presafes_head_hears_every_row_of_a_sequence(
    models: dict[str, Path],
    tmp_path: Path,
    decided: dict[str, Any],
    position: str,
) -> None:
    """Its first steps are the same to rounding, so each decision met the state of its own prompt."""
    cold = {"weight": 1.0, "position": position, "head_learning_rate": 1e-2, "warm_start": False}
    how = {"presafe": cold, "max_steps": 6}
    train(presafe(models, decided, tmp_path / "padded", **how))
    train(presafe(models, decided, tmp_path / "free", padding_free=True, **how))
    train(presafe(models, decided, tmp_path / "packed", packing=True, **how))
    wanted = metrics(tmp_path / "padded", "presafe_loss")
    assert metrics(tmp_path / "free", "presafe_loss") == pytest.approx(wanted, abs=1e-3)
    packed = metrics(tmp_path / "packed", "presafe_loss")
    assert packed[0] == pytest.approx(0.693147, abs=1e-4) and packed[-1] < 0.69


def refusal(model: Any, bf16: bool) -> str | None:
    try:
        require_isolation(model, bf16)
    except RecipeError as error:
        return str(error)
    return None


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_models_that_keep_rows_apart_are_let_through(attention: str) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    for settings, kind in (
        (LlamaConfig(**SHAPE, attn_implementation=attention), LlamaForCausalLM),
        (Qwen3Config(**SHAPE, attn_implementation=attention), Qwen3ForCausalLM),
    ):
        model: Any = kind(settings)
        assert [refusal(model, bf16) for bf16 in (False, True)] == [None, None]


@pytest.mark.parametrize("bf16", [False, True])
def test_a_model_whose_rows_would_see_each_other_is_refused_with_the_way_out(bf16: bool) -> None:
    """gpt-oss gives its mask no positions (transformers 5.19), so the rows before leak into the next."""
    from transformers import GptOssConfig, GptOssForCausalLM

    torch.manual_seed(0)
    model: Any = GptOssForCausalLM(
        GptOssConfig(**SHAPE, head_dim=8, num_local_experts=4, num_experts_per_tok=2)
    )
    with pytest.raises(
        RecipeError, match=r"gpt_oss with eager attention .* attend to each other .*; set both to false"
    ):
        require_isolation(model, bf16)


def test_layers_with_a_state_are_refused_where_their_kernels_are_missing() -> None:
    from transformers import Lfm2Config, Lfm2ForCausalLM

    torch.manual_seed(0)
    model: Any = Lfm2ForCausalLM(Lfm2Config(**SHAPE, layer_types=["conv", "full_attention"]))
    with pytest.raises(RecipeError, match="causal-conv1d"):
        require_isolation(model, bf16=False)


def test_a_run_on_such_a_model_stops_before_it_trains(
    tokenizers: dict[str, Any], mix: Path, tmp_path: Path
) -> None:
    from transformers import GptOssConfig, GptOssForCausalLM

    tokenizer = tokenizers["gptoss"]
    shape = SHAPE | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    model: Any = GptOssForCausalLM(
        GptOssConfig(**shape, head_dim=8, num_local_experts=4, num_experts_per_tok=2)
    )
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(RecipeError, match="attend to each other"):
        train(config(tmp_path / "model", mix, tmp_path / "run", padding_free=True))
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_validation_measures_the_same_loss_however_rows_are_laid_out(
    models: dict[str, Path], tmp_path: Path
) -> None:
    rows = [
        row.model_copy(update={"part": ("safety", "benign")[n % 2]}) for n, row in enumerate(sample_rows())
    ]
    mix = write_mix(tmp_path / "mix", rows[:16])
    table = pa.Table.from_pylist([row.model_dump() for row in rows[16:]], ROWS)
    write_parquet(mix / "data" / folder.VALIDATION_SHARD, table)
    found = {}
    for name in ("padded", "packing", "padding_free"):
        how = {} if name == "padded" else {name: True}
        settings = config(models["own"], mix, tmp_path / name, learning_rate=1e-30, max_steps=1, **how)
        found[name] = train(settings).summary["validation_loss"]
    assert found["packing"] == pytest.approx(found["padded"], abs=1e-4)
    assert found["padding_free"] == pytest.approx(found["padded"], abs=1e-4)


@pytest.mark.parametrize("how", ["packing", "padding_free"])
@pytest.mark.parametrize("flag", ["is_fsdp_enabled", "is_deepspeed_enabled"])
def test_models_in_shards_are_refused(
    models: dict[str, Path],
    tokenizers: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    flag: str,
) -> None:
    """The trainer is told that it shards: on a CPU accelerate starts neither."""
    real = trainer.SFTTrainer.create_accelerator_and_postprocess

    def sharded(self: Any) -> None:
        real(self)
        setattr(self, flag, True)

    monkeypatch.setattr(trainer.SFTTrainer, "create_accelerator_and_postprocess", sharded)
    with pytest.raises(RecipeError, match="packing, padding_free: train on one device or under DDP"):
        built(models, tokenizers, tmp_path, **{how: True})
