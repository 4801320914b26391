"""What the engine "auto" is."""

import json
from pathlib import Path
from typing import Any

import pytest

from curation.engines import settings
from curation.engines.settings import EngineSettings, engine_kind

SMALL: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 4}


@pytest.mark.parametrize(
    ("config", "accelerator", "expected"),
    [
        (SMALL, False, "transformers"),
        (SMALL, True, "vllm"),
        (SMALL | {"head_dim": 64}, False, "vllm"),
        ({"text_config": SMALL}, False, "transformers"),
        ({"hidden_size": 128, "num_attention_heads": 4}, False, "vllm"),
        ({"model_type": "of its own"}, False, "vllm"),
    ],
)
def test_auto_is_transformers_where_vllm_has_no_heads_so_small(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, Any],
    accelerator: bool,
    expected: str,
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(settings, "find_spec", lambda module: object())
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert engine_kind(EngineSettings(model=str(tmp_path))) == expected
    assert engine_kind(EngineSettings(kind="vllm", model=str(tmp_path))) == "vllm"


def test_a_model_that_is_not_here_leaves_auto_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "find_spec", lambda module: object())
    assert engine_kind(EngineSettings(model="org/model")) == "vllm"
