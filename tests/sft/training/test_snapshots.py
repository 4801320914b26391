"""Snapshots for `sft attribute`: taken in the middles of equal intervals, with Adam's moments, without a trace in the run itself."""

from pathlib import Path

import pytest
import torch

from schemas.errors import DataError
from sft.training.snapshots import middles, snapshots
from sft.training.stage import train
from tests.sft.training.test_trainer import config, same, weights


def test_snapshots_stand_in_the_middles_of_equal_intervals() -> None:
    assert middles(steps=40, count=4) == [5, 15, 25, 35]
    assert middles(steps=3, count=8) == [0, 1, 2] and middles(steps=1, count=1) == [0]


def test_a_run_with_snapshots_is_trained_as_without(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    train(config(models["own"], mix, tmp_path / "without"))
    train(config(models["own"], mix, tmp_path / "with", snapshots=2))
    assert same(weights(tmp_path / "with" / "model"), weights(tmp_path / "without" / "model"))
    assert [one.step for one in snapshots(tmp_path / "with")] == [1, 3]
    assert snapshots(tmp_path / "without") == []


def test_weights_stand_for_the_learning_rates_of_the_whole_run(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    train(config(models["own"], mix, tmp_path / "run", snapshots=2, lr_scheduler_type="constant"))
    assert [one.weight for one in snapshots(tmp_path / "run")] == pytest.approx([2e-3, 2e-3])  # 2 steps each


def test_moments_are_those_of_adam_without_their_bias(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    """After one step of full batches the second moment is the squared gradient, whose root bounds Adam's first update."""
    settings = config(
        models["own"], mix, tmp_path / "run", max_steps=3, snapshots=3, lr_scheduler_type="constant"
    )
    train(settings)
    first, second, _ = snapshots(tmp_path / "run")
    assert first.moments() == {} and first.epsilon is None and second.epsilon == 1e-8
    before, after, moments = first.weights(), second.weights(), second.moments()
    assert before.keys() == after.keys() == moments.keys()
    for name, values in moments.items():
        moved = (after[name] - before[name]).abs()
        # one step of Adam is the learning rate wherever the gradient is not tiny
        assert torch.allclose(moved[values > 1e-12], torch.tensor(1e-3), rtol=0.02), name


def test_a_damaged_snapshot_is_named(models: dict[str, Path], mix: Path, tmp_path: Path) -> None:
    train(config(models["own"], mix, tmp_path / "run", snapshots=1))
    (one,) = snapshots(tmp_path / "run")
    (one.folder / "snapshot.json").write_text("{}")
    with pytest.raises(DataError, match="not a snapshot"):
        snapshots(tmp_path / "run")
