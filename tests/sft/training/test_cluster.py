"""Two processes that each hold half of the model train what one process trains, and say what they cannot."""

import json
import os
import subprocess
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from curation.annotate import decisions
from curation.annotate.decisions import TeacherDecision
from curation.corpus.store import Store
from curation.engines.weights import load_model, locate
from curation.pairs import stage as pairs_stage
from sft.training.stage import train
from tests.curation.pairs.test_stage import pairable  # noqa: F401 - fixture
from tests.sft.conftest import sample_rows
from tests.sft.training.test_trainer import config, weights

SAME: dict[str, Any] = {"per_device_train_batch_size": 2, "max_steps": 4, "save_steps": 2}
PAIRWISE: dict[str, Any] = {"dpo": {"beta": 0.3}, "per_device_train_batch_size": 1}
"""Ten pairs, so that no batch of an epoch is short: two processes fill it up with the first rows."""
SHARDED: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"method": "lora", "learning_rate": 1e-2},
    "weights": {"token_weights": {"rules": [{"of": "reasoning", "weight": 3}]}},
    "stopped": {},
    "dpo": PAIRWISE,
    "dpo-lora": PAIRWISE | {"method": "lora"},
}
REFUSED: dict[str, dict[str, Any]] = {
    "presafe": {"presafe": {"weight": 1.0}},
    "kl": {"kl_to_base": {"kinds": ["harmful"]}},
    "snapshots": {"snapshots": 1},
}


@pytest.fixture
def recipes(models: dict[str, Path], mix: Path, pairable: Store, tmp_path: Path) -> dict[str, Any]:  # noqa: F811
    """Each run as one process trains it; two take half of its accumulation."""
    pairs_stage.run(pairable.root, pairs_stage.load("safe-over-risky"), out=tmp_path / "pairs")
    made = [TeacherDecision(row.prompt_id, row.prompt, n % 2) for n, row in enumerate(sample_rows())]
    decisions.write({one.prompt_id: one for one in made}.values(), tmp_path / "d.jsonl")
    REFUSED["presafe"]["presafe"]["decisions"] = str(tmp_path / "d.jsonl")
    return {
        name: config(
            models["qwen3"],
            tmp_path / "pairs" if "dpo" in how else mix,
            tmp_path / "one" / name,
            **SAME | {"gradient_accumulation_steps": 2} | how,
        )
        for name, how in (SHARDED | REFUSED).items()
    }


def launched(folder: Path, recipes: dict[str, Any], sharding: str) -> str:
    """What two processes under a shipped config print."""
    paths = []
    for name, settings in recipes.items():
        changed = {"out": str(folder / "two" / name), "gradient_accumulation_steps": 1}
        paths.append(folder / f"{name}.yaml")
        paths[-1].write_text(json.dumps(settings.model_copy(update=changed).model_dump(mode="json")))
    shipped = str(files("sft") / "recipes" / "accelerate" / f"{sharding}.yaml")
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--config_file", shipped, "--num_processes", "2", "--mixed_precision", "no",
        "--main_process_port", "0", "-m", "tests.sft.training.sharded", *map(str, paths),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=1500, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stdout + done.stderr


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def same_as_one_process(folder: Path, recipes: dict[str, Any]) -> None:
    """Losses, saved weights and the manifest of every recipe that is not refused."""
    for name in SHARDED:
        manifest = train(recipes[name])
        one, two = (folder / of / name for of in ("one", "two"))
        assert losses(two) == pytest.approx(losses(one), rel=1e-4, abs=1e-4), name
        whole, gathered = weights(one / "model"), weights(two / "model")
        assert whole.keys() == gathered.keys(), name
        rounding = 0.5 * recipes[name].learning_rate  # Adam makes a step of a gradient that is hardly there
        assert all(torch.allclose(whole[key], gathered[key], atol=rounding) for key in whole), name
        kept = json.loads((two / "manifest.json").read_text())["summary"]
        assert kept["trained_parameters"] == manifest.summary["trained_parameters"], name
        assert load_model(locate(str(two)), "auto").dtype == torch.float32
        assert not (two / "checkpoints").exists()


def refused(told: str) -> None:
    """What cannot be done in shards is said by name."""
    for reason in (
        "presafe: its head is no part of the model that is sharded",
        "kl_to_base: trains on one device or under DDP",
        "snapshots: train on one device or under DDP",
    ):
        assert reason in told, reason


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "sharding",
    [
        "fsdp2",
        pytest.param(
            "zero3",
            marks=pytest.mark.skipif(
                find_spec("deepspeed") is None,
                reason="DeepSpeed is not installed (on a CPU: DS_BUILD_OPS=0 pip install deepspeed)",
            ),
        ),
    ],
)
def test_two_processes_with_half_of_the_model_each_save_what_one_process_does(
    recipes: dict[str, Any], tmp_path: Path, sharding: str
) -> None:
    told = launched(tmp_path, recipes, sharding)
    assert "stopped at step 3" in told and "resuming from checkpoint-2" in told
    same_as_one_process(tmp_path, recipes)
    refused(told)
    for name in ("dpo", "dpo-lora"):
        assert losses(tmp_path / "two" / name)[0] == pytest.approx(0.693147, abs=1e-5), name
