"""The arithmetic of `sft plan`, against known models and a real parameter count."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from curation import hardware
from curation.engines.weights import load_model, locate
from schemas.choices import Sharding
from sft.cli import app
from sft.training.config import TrainConfig
from sft.training.plan import Shape, adapter_parameters, device_of, estimate, fits, on_device, shape_of
from tests.sft.training.test_trainer import config

QWEN7B = Shape(7_615_616_512, 3584, 28, 152_064)


def settings(**how: Any) -> TrainConfig:
    return TrainConfig(model="m", mix="x", out="o", **how)


def test_the_shape_is_that_of_the_loaded_model(models: dict[str, Path]) -> None:
    found = shape_of(str(models["own"]))
    model = load_model(locate(str(models["own"])), "float32")
    assert found.parameters == model.num_parameters() and (found.hidden, found.layers) == (32, 2)


def test_full_training_of_7b_needs_eighteen_bytes_a_parameter_and_sharding_divides_them() -> None:
    """Four each for weights, gradients and two moments, two for the copy that autocast makes."""
    alone = estimate(QWEN7B, settings(), 1100, 900_000, 1, 989, "none")
    assert alone.states_gb == pytest.approx(18 * 7.6156, rel=1e-3) and not fits(alone, "h100")
    plain = estimate(QWEN7B, settings(bf16=False), 1100, 900_000, 1, 989, "none")
    assert plain.states_gb == pytest.approx(16 * 7.6156, rel=1e-3)
    shared = estimate(QWEN7B, settings(), 1100, 900_000, 8, 989, "zero3")
    assert shared.states_gb == pytest.approx(alone.states_gb / 8) and fits(shared, "h100")
    half = estimate(QWEN7B, settings(), 1100, 900_000, 8, 989, "zero2")
    assert shared.states_gb < half.states_gb < alone.states_gb


LLAMA7B = Shape(6_738_415_616, 4096, 32, 32_000)
ONE = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
KNOWN: dict[str, tuple[Shape, TrainConfig, int, Sharding, float]] = {
    # LongLoRA, arXiv 2309.12307, plain LoRA at 8,192 tokens on 8 A100 with ZeRO-2
    "lora 7b at 8k": (LLAMA7B, settings(method="lora", lora={"r": 8}, max_length=8192, **ONE), 8, "zero2", 25.7),
    # ZeRO, arXiv 1910.02054, section 3.1: 16 bytes a parameter, "at least 24 GB", states alone
    "states of 1.5b": (Shape(1_500_000_000, 1600, 48, 50_257), settings(bf16=False, max_length=8, **ONE), 1, "none", 24.0),
}  # fmt: skip
"""Published runs: shape, settings, devices, sharding, and their peak in GB on one device."""


@pytest.mark.parametrize("name", KNOWN)
def test_published_runs_are_estimated_to_a_third(name: str) -> None:
    shape, how, devices, sharding, measured = KNOWN[name]
    told = estimate(shape, how, 1000, 1_000_000, devices, 312, sharding)
    assert measured * 2 / 3 < told.gb < measured * 4 / 3


def test_qlora_of_7b_needs_less_than_ten_gb_as_torchtune_says() -> None:
    """torchtune, "Fine-Tuning Llama2 with QLoRA": 7B in less than 10 GB."""
    how = settings(method="qlora", lora={"r": 8}, max_length=2048, **ONE)
    assert 4 < estimate(LLAMA7B, how, 1000, 1_000_000, 1, 312, "none").gb < 10


def test_the_states_are_those_of_a_real_step(models: dict[str, Path]) -> None:
    """Weights, gradients and moments of the tiny model after a step, and autocast's copies of its matrices, counted tensor by tensor."""
    import torch

    model = load_model(locate(str(models["own"])), "float32")
    optimizer = torch.optim.AdamW(model.parameters())
    copies: dict[int, int] = {}

    def hear(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype == torch.bfloat16 and tensor.dim() == 2 and tensor.shape[0] != 1:
            copies[tensor.data_ptr()] = tensor.nbytes
        return tensor

    ids = torch.tensor([[5]])
    with (
        torch.autograd.graph.saved_tensors_hooks(hear, lambda kept: kept),
        torch.autocast("cpu", torch.bfloat16),
    ):
        loss = model(input_ids=ids).logits.float().logsumexp(-1).sum()
    loss.backward()
    optimizer.step()
    held = sum(p.nbytes + p.grad.nbytes for p in model.parameters())
    held += sum(t.nbytes for state in optimizer.state.values() for t in state.values() if t.dim() > 0)
    shape = shape_of(str(models["own"]))
    told = estimate(shape, settings(), 10, 1000, 1, 312, "none").states_gb * 1e9
    assert told == pytest.approx(held + 2 * shape.parameters) == pytest.approx(18 * shape.parameters)
    assert 0.3 < sum(copies.values()) / (2 * shape.parameters) < 1.1


def test_lora_fits_where_full_training_does_not() -> None:
    lora = estimate(QWEN7B, settings(method="lora"), 1100, 900_000, 1, 989, "none")
    assert lora.states_gb < 16 and fits(lora, "a100-80") and 20e6 < lora.trained < 60e6


def test_qlora_fits_32b_on_one_device_and_packing_counts_sequences() -> None:
    big = Shape(32_763_876_352, 5120, 64, 152_064)
    assert fits(
        estimate(big, settings(method="qlora", per_device_train_batch_size=1), 1100, 900_000, 1, 989, "none"),
        "h100",
    )
    assert not fits(
        estimate(big, settings(method="lora", per_device_train_batch_size=4), 1100, 900_000, 1, 989, "none"),
        "h100",
    )
    packed = estimate(QWEN7B, settings(packing=True), 9600, 9600 * 1024, 1, 989, "none")
    assert packed.steps == 50 and packed.tokens == 9600 * 1024


def test_the_adapters_size_is_about_pefts(models: dict[str, Path], tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model = load_model(locate(str(models["own"])), "float32")
    wrapped: Any = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    real = wrapped.num_parameters(only_trainable=True)
    assert adapter_parameters(shape_of(str(models["own"])), 4) == pytest.approx(real, rel=0.35)


def test_checkpointing_trades_memory_for_time() -> None:
    with_, without = (
        estimate(QWEN7B, settings(gradient_checkpointing=on), 1100, 900_000, 8, 989, "zero3")
        for on in (True, False)
    )
    assert with_.activations_gb < without.activations_gb / 5 and with_.hours == pytest.approx(
        without.hours * 8 / 6
    )


def test_time_grows_with_rows_and_falls_with_devices() -> None:
    one = estimate(QWEN7B, settings(), 4800, 4_800_000, 1, 989, "none")
    eight = estimate(QWEN7B, settings(), 4800, 4_800_000, 8, 989, "zero3")
    assert one.steps == 100 and one.tokens == 4_800_000
    assert eight.hours == pytest.approx(one.hours / 8, rel=0.1)


def test_the_command_says_whether_it_fits(models: dict[str, Path], mix: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(config(models["own"], mix, tmp_path / "o").model_dump(mode="json")))
    shown = CliRunner().invoke(app, ["plan", str(path), "--device", "rtx4090"])
    assert shown.exit_code == 0 and "of 24 GB on each of 1 rtx4090" in shown.stdout
    document = json.loads(CliRunner().invoke(app, ["plan", str(path), "--json"]).stdout)
    assert document["fits"] and document["steps"] == 4


def test_a_base_in_float32_needs_twice_the_memory_of_one_in_bfloat16() -> None:
    half, whole = (
        estimate(QWEN7B, settings(method="lora", bf16=on), 1100, 900_000, 1, 989, "none")
        for on in (True, False)
    )
    assert whole.states_gb == pytest.approx(2 * half.states_gb, rel=0.05)
    assert whole.activations_gb == pytest.approx(2 * half.activations_gb)


def test_kl_to_the_base_holds_the_copy_that_the_trainer_makes(models: dict[str, Path]) -> None:
    """Counted on the trainer's own copy; adapters have their base at hand."""
    from sft.training.losses.anchored import frozen

    shape, model = shape_of(str(models["own"])), load_model(locate(str(models["own"])), "float32")
    for bf16 in (True, False):
        held = sum(one.nbytes for one in frozen(model, bf16).parameters())
        with_, without = (
            estimate(shape, settings(bf16=bf16, kl_to_base=kl), 10, 1000, 1, 312, "none") for kl in ({}, None)
        )
        assert with_.states_gb - without.states_gb == pytest.approx(held / 1e9)
        assert with_.hours == pytest.approx(
            without.hours * 10 / 8
        )  # a forward pass more, beside gradient checkpointing
    lora, plain = (
        estimate(shape, settings(method="lora", kl_to_base=kl), 10, 1000, 1, 312, "none") for kl in ({}, None)
    )
    assert lora.states_gb == plain.states_gb and lora.hours > plain.hours


def test_the_cpu_is_a_device_and_without_bfloat16_units_it_trains_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory, fast = device_of("cpu")
    assert memory > 1 and fast > 0 and on_device(settings(), "h100").bf16
    monkeypatch.setattr(hardware, "computes_bf16", lambda: False)
    assert not on_device(settings(), "cpu").bf16 and on_device(settings(dtype="bfloat16"), "cpu").bf16
    assert device_of("cpu")[1] <= fast
