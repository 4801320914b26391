"""The folder of a mix: its forms, its card, and what is refused where one stands already."""

import errno
import json
import os
from pathlib import Path

import pytest

from curation.mix import folder
from schemas import CorpusError, DataError
from tests.curation.mix.builds import RECIPE, files


def test_datasets_loads_the_folder_in_all_its_forms(
    build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    _, rows = build(RECIPE)

    def load(config: str) -> list[dict]:
        data = load_dataset(str(tmp_path / "mix"), config, cache_dir=str(tmp_path / "cache"))
        return data["train"].to_list()

    assert load("default") == rows
    first = load("messages")[0]["messages"]
    assert [message["role"] for message in first] == ["user", "assistant"]
    assert first[1] == {
        "role": "assistant", "content": rows[0]["answer"], "reasoning_content": rows[0]["reasoning"]
    }  # fmt: skip
    pair = load("prompt_completion")[0]
    assert (pair["prompt"][0]["content"], pair["completion"][0]["content"]) == (
        rows[0]["prompt"],
        rows[0]["answer"],
    )
    jsonl = (tmp_path / "mix" / "train.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in jsonl] == rows


def test_the_card_is_one_that_the_hub_reads(build, tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    build(RECIPE)
    card = DatasetCard.load(tmp_path / "mix" / "README.md")
    assert [config["config_name"] for config in card.data.to_dict()["configs"]] == [
        "default", "messages", "prompt_completion",
    ]  # fmt: skip
    assert "| a | 60 | 40 | `kind = 'harmful'` |" in card.text


def test_a_folder_with_other_things_is_never_replaced(build, tmp_path: Path) -> None:
    (tmp_path / "mix").mkdir()
    (tmp_path / "mix" / "thesis.tex").write_text("x")
    with pytest.raises(CorpusError, match="not empty"):
        build(RECIPE)


def test_a_full_disk_leaves_the_earlier_mix(build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(RECIPE)
    before = files(tmp_path / "mix")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CorpusError, match="disk is full"):
        build("name: other\nparts: {a: {where: 'true'}}\n")
    assert files(tmp_path / "mix") == before


def test_a_mix_of_a_newer_version_is_refused(build, tmp_path: Path) -> None:
    build(RECIPE)
    path = tmp_path / "mix" / "manifest.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 7'))
    with pytest.raises(CorpusError, match="format version 7 is newer"):
        folder.read_manifest(tmp_path / "mix")


def test_a_folder_that_is_no_mix_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a mix .* curate build-mix RECIPE"):
        folder.read_manifest(tmp_path)
