import json
import shutil
from pathlib import Path

import pytest

from curation.engines.weights import Weights, base_of_run, base_places, fingerprint, load_tokenizer, locate
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


def test_the_base_of_a_run_is_found_after_the_folders_were_moved_and_from_anywhere(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    adapter = project / "runs" / "own" / "model"
    adapter.mkdir(parents=True)
    shutil.copytree(models["own"], project / "base")
    monkeypatch.chdir(project)
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "base"}))
    places = base_places(locate("base"), Path("runs/own"))
    (adapter.parent / "run.json").write_text(json.dumps({"base_places": places}))
    (adapter.parent / "manifest.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert locate("project/runs/own").adapter_base == str(project / "base")
    project.rename(tmp_path / "moved")
    assert locate("moved/runs/own").adapter_base == str(tmp_path / "moved" / "base")
    before = fingerprint(locate("moved/runs/own"))
    (tmp_path / "moved").rename(project)
    (project / "runs" / "own").rename(tmp_path / "alone")
    assert locate("alone").adapter_base == str(project / "base")
    assert fingerprint(locate("alone")) == before


def test_a_model_of_the_hub_and_a_run_of_an_older_version_keep_their_name(tmp_path: Path) -> None:
    assert base_places(Weights(tmp_path, "org/model"), tmp_path / "run") == []
    for content in ("{}", "[]", '{"base_places": []}', "{"):
        (tmp_path / "run.json").write_text(content)
        assert base_of_run(tmp_path, "org/model") == "org/model"
