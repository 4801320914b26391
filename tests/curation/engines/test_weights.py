"""Damaged weights and settings of a model are an error with its folder."""

import json
from pathlib import Path

import pytest

from curation.engines.weights import load_model, load_tokenizer, locate
from schemas.errors import EngineError

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 8}  # fmt: skip


@pytest.mark.parametrize(
    "weights", [b"", b"junk" * 99, b"\xff" * 7 + b"\x7f{}", (9).to_bytes(8, "little") + b'{"a": [1]']
)
def test_damaged_safetensors_are_named(tmp_path: Path, weights: bytes) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(EngineError, match=rf"{tmp_path.name}: the model cannot be loaded"):
        load_model(locate(str(tmp_path)), "float32")


@pytest.mark.parametrize(
    "config", ["{", "hello", "[1]", '{"model_type": 7}', '{"model_type": "llama", "hidden_size": "x"}']
)
def test_a_damaged_config_is_named(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "tokenizer.json").write_text(config)
    with pytest.raises(EngineError, match="cannot be loaded"):
        load_model(locate(str(tmp_path)), "float32")
    with pytest.raises(EngineError, match="its tokenizer cannot be loaded"):
        load_tokenizer(locate(str(tmp_path)))
