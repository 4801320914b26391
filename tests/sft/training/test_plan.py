"""The arithmetic of `sft plan`, against known models and a real parameter count."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from curation import hardware
from curation.engines.weights import load_model, locate
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


def test_full_training_of_7b_needs_sixteen_bytes_a_parameter_and_sharding_divides_them() -> None:
    alone = estimate(QWEN7B, settings(), 1100, 900_000, 1, 989, "none")
    assert alone.states_gb == pytest.approx(16 * 7.6156 / 1.0737, rel=1e-3) and not fits(alone, "h100")
    shared = estimate(QWEN7B, settings(), 1100, 900_000, 8, 989, "zero3")
    assert shared.states_gb == pytest.approx(alone.states_gb / 8) and fits(shared, "h100")
    half = estimate(QWEN7B, settings(), 1100, 900_000, 8, 989, "zero2")
    assert shared.states_gb < half.states_gb < alone.states_gb


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


def test_the_cpu_is_a_device_and_without_bfloat16_units_it_trains_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory, fast = device_of("cpu")
    assert memory > 1 and fast > 0 and on_device(settings(), "h100").bf16
    monkeypatch.setattr(hardware, "computes_bf16", lambda: False)
    assert not on_device(settings(), "cpu").bf16 and on_device(settings(dtype="bfloat16"), "cpu").bf16
    assert device_of("cpu")[1] <= fast
