import json
import shutil
from pathlib import Path

import pytest

from curation.engines.weights import fingerprint, load_tokenizer, locate
from schemas.errors import EngineError


def test_the_fingerprint_is_of_the_weights_and_not_of_the_name(
    models: dict[str, Path], tmp_path: Path
) -> None:
    copy = tmp_path / "another-name"
    shutil.copytree(models["own"], copy)
    before = fingerprint(locate(str(copy)))
    assert before == fingerprint(locate(str(models["own"])))
    (copy / "README.md").write_text("a card decides nothing")
    assert fingerprint(locate(str(copy))) == before
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert fingerprint(locate(str(copy))) != before


def test_an_adapter_changes_its_fingerprint_with_its_base(models: dict[str, Path], tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(models["own"], base)
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    before = fingerprint(locate(str(adapter)))
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"rope_theta": 5.0}))
    assert fingerprint(locate(str(adapter))) != before


def test_a_folder_without_a_readable_tokenizer_or_adapter_is_explained(
    models: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(models["own"], broken)
    (broken / "tokenizer.json").unlink()
    (broken / "tokenizer_config.json").write_text("{")
    with pytest.raises(EngineError, match="its tokenizer cannot be loaded"):
        load_tokenizer(locate(str(broken)))
    (broken / "adapter_config.json").write_text("{}")
    with pytest.raises(EngineError, match="not an adapter's configuration"):
        locate(str(broken))
