"""What `sft run` does besides training: validation by part, a stop when it diverges, several processes, export."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from curation.annotate import decisions
from curation.annotate.decisions import TeacherDecision
from curation.corpus.store import write_parquet
from curation.mix import folder
from schemas.errors import CorpusError, DataError, TrainingError
from schemas.row import Row
from schemas.tables import ROWS
from sft.cli import app
from sft.training.export import write_model
from sft.training.stage import train
from tests.sft.conftest import sample_rows, write_mix
from tests.sft.training.test_cluster import losses
from tests.sft.training.test_trainer import config, same, weights


@pytest.fixture
def split_mix(tmp_path: Path) -> Path:
    """A mix of two parts with a validation split."""
    import pyarrow as pa

    rows = [
        row.model_copy(update={"part": ("safety", "benign")[n % 2]}) for n, row in enumerate(sample_rows())
    ]
    mix = write_mix(tmp_path / "mix", rows[:16])
    held_out: list[Row] = rows[16:]
    write_parquet(
        mix / "data" / folder.VALIDATION_SHARD,
        pa.Table.from_pylist([row.model_dump() for row in held_out], ROWS),
    )
    return mix


def test_the_loss_on_each_part_of_the_validation_split_is_measured(
    models: dict[str, Path], split_mix: Path, tmp_path: Path
) -> None:
    settings = config(models["own"], split_mix, tmp_path / "run", eval_steps=4, max_steps=8)
    found = train(settings).summary["validation_loss"]
    assert isinstance(found, dict) and set(found) == {"safety", "benign"}
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    seen = [line["eval_safety_loss"] for line in lines if "eval_safety_loss" in line]
    assert len(seen) >= 2 and seen[-1] < seen[0] and seen[-1] == pytest.approx(found["safety"], rel=1e-3)


def test_validation_rows_are_never_trained_on(
    models: dict[str, Path], split_mix: Path, tmp_path: Path
) -> None:
    train(config(models["own"], split_mix, tmp_path / "with"))
    (split_mix / "data" / folder.VALIDATION_SHARD).unlink()
    train(config(models["own"], split_mix, tmp_path / "without"))
    assert same(weights(tmp_path / "with" / "model"), weights(tmp_path / "without" / "model"))


def test_a_run_that_diverges_stops_and_says_what_to_do(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    settings = config(
        models["own"], mix, tmp_path / "run", learning_rate=300.0, max_steps=200, max_grad_norm=1e9
    )
    with pytest.raises(TrainingError, match="lower learning_rate"):
        train(settings)
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_loss_that_is_no_number_stops_the_run(models: dict[str, Path], mix: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = models["own"] / "model.safetensors"
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in models["own"].iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    tensors = load_file(file)
    tensors["model.norm.weight"][0] = torch.nan
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="step 1: the loss is nan"):
        train(config(broken, mix, tmp_path / "run"))


def test_the_message_of_a_diverged_run_names_the_mean_that_rose_and_its_best(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from sft.training.callbacks import Watch

    watch = Watch(tmp_path)
    with pytest.raises(
        TrainingError, match=r"step 19: the mean loss of the last 10 logs is 3\.7, after a best of 1;"
    ):
        for step in range(1, 30):
            watch.on_log(None, SimpleNamespace(global_step=step), None, {"loss": 1.0 if step < 17 else 10.0})
    with pytest.raises(TrainingError, match="step 1: the loss is inf; lower"):
        Watch(tmp_path).on_log(None, SimpleNamespace(global_step=1), None, {"loss": float("inf")})


def test_adapters_are_merged_in_float32_and_rounded_once(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    from curation.engines.weights import load_model, locate

    train(config(models["own"], mix, tmp_path / "run", method="lora", learning_rate=1e-2))
    write_model(tmp_path / "run", out=tmp_path / "plain")
    exact: Any = load_model(locate(str(tmp_path / "run")), "float32")
    exact = exact.merge_and_unload().to(torch.bfloat16).state_dict()
    found = load_model(locate(str(tmp_path / "plain")), "auto").state_dict()
    assert all(torch.equal(tensor, exact[name]) for name, tensor in found.items())
    write_model(tmp_path / "run", out=tmp_path / "as_it_was", dtype="auto")
    assert load_model(locate(str(tmp_path / "as_it_was")), "auto").dtype == torch.float32


def test_a_run_that_was_moved_with_its_mix_and_base_is_found_finished_and_inspected(
    models: dict[str, Path], mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    place = tmp_path / "project"
    shutil.copytree(models["own"], place / "base")
    shutil.copytree(mix, place / "mix")
    monkeypatch.chdir(place)
    train(config(Path("base"), Path("mix"), Path("run")))
    place.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    moved = tmp_path / "moved"
    assert train(config(moved / "base", moved / "mix", moved / "run")).summary["steps"] == 4
    result = CliRunner().invoke(
        app, ["inspect", "moved/run", "--samples", "1", "--out", str(tmp_path / "run.html")]
    )
    assert result.exit_code == 0 and (tmp_path / "run.html").is_file()


@pytest.mark.parametrize("method", ["full", "lora"])
def test_an_exported_model_says_what_the_run_says(
    models: dict[str, Path], mix: Path, tmp_path: Path, method: str
) -> None:
    from curation.engines.weights import load_model, locate

    train(config(models["own"], mix, tmp_path / "run", method=method, learning_rate=1e-2))
    result = CliRunner().invoke(
        app, ["export", str(tmp_path / "run"), "--out", str(tmp_path / "plain"), "--dtype", "float32"]
    )
    assert result.exit_code == 0 and result.stdout.startswith("plain@")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        ran = load_model(locate(str(tmp_path / "run")), "float32").eval()(input_ids=ids).logits
        plain = load_model(locate(str(tmp_path / "plain")), "float32").eval()(input_ids=ids).logits
    assert torch.allclose(ran, plain, atol=1e-5)
    assert (
        not list((tmp_path / "plain").glob("adapter*"))
        and (tmp_path / "plain" / "chat_template.jinja").is_file()
    )
    card = (tmp_path / "plain" / "README.md").read_text()
    assert str(tmp_path) not in card and "| learning_rate | 0.01 |" in card


def test_only_a_finished_run_is_exported_and_nothing_is_overwritten(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="not a finished run"):
        write_model(tmp_path, out=tmp_path / "out")
    train(config(models["own"], mix, tmp_path / "run", max_steps=1))
    with pytest.raises(CorpusError, match="the folder is not empty"):
        write_model(tmp_path / "run", out=tmp_path / "run")


@pytest.mark.slow
def test_two_processes_train_like_one_with_twice_the_accumulation(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    made = [  # of some rows, so that processes and micro-batches differ in how many they have
        TeacherDecision(row.prompt_id, row.prompt, n % 2) for n, row in enumerate(sample_rows()) if n % 3
    ]
    decisions.write({one.prompt_id: one for one in made}.values(), tmp_path / "d.jsonl")
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "presafe": {"presafe": {"decisions": str(tmp_path / "d.jsonl"), "weight": 1.0}},
    }
    paths = []
    for kind, how in kinds.items():
        how |= {"per_device_train_batch_size": 2, "max_steps": 4, "learning_rate": 1e-3}
        train(config(models["own"], mix, tmp_path / kind / "one", gradient_accumulation_steps=4, **how))
        two = config(models["own"], mix, tmp_path / kind / "two", gradient_accumulation_steps=2, **how)
        paths.append(tmp_path / f"{kind}.yaml")
        paths[-1].write_text(json.dumps(two.model_dump(mode="json")))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, "-m", "tests.sft.training.launched", *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("8 rows per step") >= len(kinds)
    for kind in kinds:
        alone, together = (tmp_path / kind / name for name in ("one", "two"))
        assert losses(alone) == pytest.approx(losses(together), rel=1e-4), kind
        one, both = weights(alone / "model"), weights(together / "model")
        assert all(torch.allclose(one[name], both[name], atol=2e-4) for name in one), kind
    heads = [weights(tmp_path / "presafe" / name)["linear.weight"] for name in ("one", "two")]
    assert heads[0].abs().sum() > 0 and torch.allclose(*heads, atol=2e-4)


def test_the_page_of_a_run_shows_its_curves_and_what_changed(
    models: dict[str, Path], split_mix: Path, tmp_path: Path
) -> None:
    from sft.training.inspect import write_page

    train(config(models["own"], split_mix, tmp_path / "run", eval_steps=2, max_steps=6))
    page = tmp_path / "run.html"
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "run"), "--out", str(page), "--samples", "2"])
    assert result.exit_code == 0, result.output
    html = page.read_text()
    assert (
        html.count("<svg") >= 4
        and "validation loss by part" in html
        and html.count("<details") == 2 + html.count("<svg")
    )
    assert str(tmp_path) not in html and html.count("<script") == 1
    prompt = sample_rows()[0].prompt
    assert prompt not in html  # harmful, so masked
    with pytest.raises(DataError, match="not a run"):
        write_page(tmp_path, out=page)


def test_the_page_of_an_unfinished_run_is_made_all_the_same(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    from sft.training.inspect import write_page

    train(config(models["own"], mix, tmp_path / "run"))
    (tmp_path / "run" / "manifest.json").unlink()
    write_page(tmp_path / "run", out=tmp_path / "run.html")
    assert "Not finished" in (tmp_path / "run.html").read_text()
    with pytest.raises(DataError, match="not finished"):
        write_page(tmp_path / "run", out=tmp_path / "run.html", samples=1)
