"""QLoRA, for real: bitsandbytes quantises on a CPU as well."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from curation.engines.weights import load_model, locate
from schemas import errors
from schemas.errors import MissingExtraError
from sft.tiny import make_model
from sft.training import export, loading
from sft.training.stage import train
from tests.sft.training.presafe.test_supervision import decided_mix, metrics, presafe
from tests.sft.training.test_packing import built
from tests.sft.training.test_trainer import config, same, weights


@pytest.fixture
def decided(tmp_path: Path) -> dict[str, Any]:
    return decided_mix(tmp_path)


@pytest.fixture(scope="module")
def wide(tokenizers: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blocks of 64 numbers are quantised together, so a layer must have some."""
    folder = tmp_path_factory.mktemp("wide")
    make_model(folder, tokenizers["own"], hidden=64, layers=2)
    return folder


@pytest.fixture
def four_bits() -> None:
    pytest.importorskip("bitsandbytes", reason="the qlora extra is not installed")


def test_transformers_is_told_nf4_double_quantisation_and_bf16(four_bits: None) -> None:
    told = loading.four_bits()["quantization_config"]
    assert (told.load_in_4bit, told.bnb_4bit_quant_type, told.bnb_4bit_use_double_quant) == (
        True,
        "nf4",
        True,
    )
    assert told.bnb_4bit_compute_dtype is torch.bfloat16


def test_without_bitsandbytes_the_error_names_the_pip_line(
    models: dict[str, Path], mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"'bitsandbytes'; install it with: pip install 'lrm-curate\[qlora\]'"
    ):
        train(config(models["own"], mix, tmp_path / "run", method="qlora"))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_base_is_in_four_bits_and_frozen_and_the_adapters_learn_in_float32(
    four_bits: None, wide: Path, tokenizers: dict[str, Any], tmp_path: Path, checkpointing: bool
) -> None:
    made = built({"own": wide}, tokenizers, tmp_path, method="qlora", gradient_checkpointing=checkpointing)
    layer = made.model.get_base_model().model.layers[0].mlp.gate_proj
    assert layer.base_layer.weight.dtype is torch.uint8 and layer.base_layer.quant_state.nested
    moving = {name: p for name, p in made.model.named_parameters() if p.requires_grad}
    assert moving and all("lora_" in name and p.dtype is torch.float32 for name, p in moving.items())
    made.train()
    assert any(p.abs().sum() > 0 for name, p in moving.items() if "lora_B" in name)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_run_leaves_an_adapter_that_loads_on_the_plain_base_and_merges(
    four_bits: None, wide: Path, mix: Path, tmp_path: Path, bf16: bool
) -> None:
    how = {"method": "qlora", "max_steps": 12, "learning_rate": 1e-2, "bf16": bf16}
    train(config(wide, mix, tmp_path / "run", **how))
    losses = metrics(tmp_path / "run", "loss")
    assert losses[-1] < losses[0]
    loaded = load_model(locate(str(tmp_path / "run")), "float32")
    assert type(loaded).__name__ == "PeftModelForCausalLM"
    export.write_model(tmp_path / "run", out=tmp_path / "plain", dtype="float32")
    ids = torch.tensor([[5, 6, 7, 8]])
    merged = load_model(locate(str(tmp_path / "plain")), "float32")
    with torch.no_grad():
        assert torch.allclose(
            loaded.eval()(input_ids=ids).logits, merged.eval()(input_ids=ids).logits, atol=1e-4
        )
    assert "quantization_config" not in json.loads((tmp_path / "plain" / "config.json").read_text())


def test_qlora_is_reproducible_and_takes_presafe_and_packing(
    four_bits: None,
    wide: Path,
    tmp_path: Path,
    decided: dict[str, Any],
) -> None:
    how = {
        "method": "qlora",
        "packing": True,
        "presafe": {"weight": 1.0, "head_learning_rate": 1e-2},
        "max_steps": 6,
    }
    for name in ("one", "two"):
        train(presafe({"own": wide}, decided, tmp_path / name, **how))
    assert same(weights(tmp_path / "one" / "model"), weights(tmp_path / "two" / "model"))
    assert metrics(tmp_path / "one", "presafe_loss")[-1] < 0.69
