"""Runs on conversations: every turn trained when told so, and prompts that keep the date of the run's first start."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from schemas.conversation import Turn
from schemas.errors import RecipeError
from sft.tiny import make_model
from sft.training import stage
from sft.training.config import PresafeConfig, TrainConfig
from tests.sft.conftest import make_row, sample_rows, write_mix

TURNS = (
    Turn(role="user", content="Name a colour."),
    Turn(role="assistant", content="Red.", reasoning="Any will do."),
    Turn(role="user", content="Another?"),
)
DATED = "{{ strftime_now('%Y-%m-%d') }}"


def config(tmp_path: Path, mix: Path, **more: Any) -> TrainConfig:
    return TrainConfig(
        model=str(tmp_path / "model"), mix=str(mix), out=str(tmp_path / "run"), max_steps=1, max_length=1024,
        per_device_train_batch_size=2, gradient_accumulation_steps=1, bf16=False, gradient_checkpointing=False,
        **more,
    )  # fmt: skip


def test_all_turns_are_trained_and_a_resumed_run_keeps_its_date(
    tokenizers: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tokenizers["own"]
    monkeypatch.setattr(tokenizer, "chat_template", DATED + tokenizer.chat_template)
    make_model(tmp_path / "model", tokenizer, hidden=32, layers=1)
    talk = make_row("Another?", "Not red.", "Blue.").model_copy(update={"turns": TURNS})
    mix = write_mix(tmp_path / "mix", [talk, *sample_rows(4)[:2]])
    done = stage.train(config(tmp_path, mix, loss_on="all"))
    assert (done.counts.kept, done.summary["sequences"]) == (3, 4)
    marker = tmp_path / "run" / "run.json"
    begun = json.loads(marker.read_bytes())
    assert begun["prompt_date"] == done.summary["prompt_date"] == date.today().isoformat()
    (tmp_path / "run" / "manifest.json").unlink()  # as if it had been killed, on another day
    marker.write_text(json.dumps(begun | {"prompt_date": "2025-03-04"}))
    again = stage.train(config(tmp_path, mix, loss_on="all"))
    assert again.summary["prompt_date"] == "2025-03-04"


def test_presafe_s_head_needs_the_last_turn_alone(tmp_path: Path) -> None:
    settings = config(tmp_path, tmp_path / "mix", loss_on="all", presafe=PresafeConfig(decisions="d.jsonl"))
    with pytest.raises(RecipeError, match="presafe: its head reads the state before the last turn alone"):
        stage.train(settings)
