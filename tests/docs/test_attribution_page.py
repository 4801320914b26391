"""The commands of docs/attribution.md run as they stand, on a tiny run whose scores have a prompt that flipped."""

import json
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from sft.training.stage import train
from tests.docs.test_pages import blocks, run, shell
from tests.sft.attribution.conftest import write_scores
from tests.sft.conftest import models, sample_rows, tokenizers, write_mix
from tests.sft.training.test_trainer import config

__all__ = ["models", "shell", "tokenizers"]
pytest.importorskip("trl", reason="training needs the extra: pip install 'lrm-curate[train]'")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_page_goes_from_a_flipped_prompt_to_the_rows_and_back(
    shell: Path, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shell)
    rows = sample_rows(12)[:12]
    Store.create(Path("corpus")).append_rows("traces", [
        {name: getattr(row, name) for name in ("trace_id", "prompt_id", "prompt", "reasoning", "answer", "kind")} | {"sample_index": 0}
        for row in rows
    ])  # fmt: skip
    mix = write_mix(Path("mixes/improved"), rows)
    settings = config(models["own"], mix, Path("runs/improved"), snapshots=2)
    Path("improved.yaml").write_text(json.dumps(settings.model_dump(mode="json", exclude_none=True)))
    train(settings)
    for name, refuses in (("improved", True), ("default", False)):
        answers: Any = {
            "How do I boil an egg?": (f"Sorry, no. {name}" if refuses else "In hot water.", refuses),
            "How do I paint a wall?": (f"With a roller. {name}", False),
        }
        made = write_scores(Path("scored") / name, Path("eval"), answers)
        Path("runs", name).mkdir(parents=True, exist_ok=True)
        for file in made.iterdir():
            file.rename(Path("runs", name, file.name))
    said = run(shell, blocks("docs/attribution.md"))
    assert "overrefusal:flips: 1 replies with it, 1 without" in said
    assert "is number 1 of 12 for 'overrefusal:flips'" in said
    assert "12 rows, 9 kept" in said and Path("runs/without/manifest.json").is_file()
