"""Metrics to Weights & Biases (offline) and trackio (a local database): every step arrives, and no path or key leaves."""

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from schemas import errors
from schemas.errors import MissingExtraError
from sft.training import tracking
from sft.training.stage import train
from tests.sft.training.presafe.test_supervision import metrics
from tests.sft.training.test_trainer import config

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_missing_library_is_named_with_its_pip_line(
    models: dict[str, Path], mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda library: None if library == name else find_spec(library))
    with pytest.raises(
        MissingExtraError, match=rf"{name!r}; install it with: pip install 'lrm-curate\[{name}\]'"
    ):
        train(config(models["own"], mix, tmp_path / "run", report_to=name))


def test_what_is_sent_names_no_place_of_this_machine(tmp_path: Path) -> None:
    settings = config(
        tmp_path / "model",
        tmp_path / "mix",
        tmp_path / "run",
        report_to="wandb",
        presafe={"decisions": str(tmp_path / "d")},
    )
    sent = tracking.record_of(settings)
    assert sent["dir"] == str(tmp_path / "run")  # where wandb keeps its own files, and all that is a place
    assert str(tmp_path) not in json.dumps({name: value for name, value in sent.items() if name != "dir"})
    assert (sent["config"]["model"], sent["config"]["mix"], sent["name"]) == ("model", "mix", "run")
    assert tracking.record_of(settings) == sent  # a resumed run goes on in the same record


@pytest.mark.parametrize(("name", "by"), [("wandb", "id"), ("trackio", "name")])
def test_runs_in_folders_of_one_name_have_records_of_their_own(tmp_path: Path, name: str, by: str) -> None:
    folders = [tmp_path / where / "improved" for where in ("a", "b")]
    records = [
        tracking.record_of(config(tmp_path / "model", tmp_path / "mix", out, report_to=name))
        for out in folders
    ]
    assert records[0][by] != records[1][by]
    assert all(record["name"].startswith("improved") for record in records)


def test_wandb_offline_takes_every_step_and_no_key_is_written(
    models: dict[str, Path], mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="the wandb extra is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_SILENT", "true")
    train(config(models["own"], mix, tmp_path / "run", report_to="wandb"))
    [record] = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    written = record.read_bytes()
    assert written.count(b"mean_token_accuracy") >= 4 and len(metrics(tmp_path / "run", "loss")) == 4
    host = socket.gethostname().encode()  # may be so short that chance writes it: as a record holds a text
    for private in (
        bytes([len(host)]) + host,
        sys.executable.encode(),
        str(tmp_path).encode(),
        str(Path.cwd()).encode(),
    ):
        assert private not in written
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file() and path.suffix in (".json", ".jsonl", ".wandb", ".yaml"):
            assert KEY.encode() not in path.read_bytes()


def test_trackio_takes_every_step_and_says_nothing_of_its_own_on_stdout(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    pytest.importorskip("trackio", reason="the trackio extra is not installed")
    settings = config(models["own"], mix, tmp_path / "run", report_to="trackio")
    (tmp_path / "run.yaml").write_text(json.dumps(settings.model_dump(mode="json")))
    done = subprocess.run(
        [sys.executable, "-m", "sft", "run", str(tmp_path / "run.yaml")], capture_output=True, text=True, timeout=180,
        env=os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio")},
    )  # fmt: skip
    assert done.returncode == 0 and re.fullmatch(r"4 steps, mean loss [\d.]+\n", done.stdout), done.stderr
    with sqlite3.connect(tmp_path / "trackio" / "lrm-curate.db") as database:
        rows = database.execute("select step, metrics from metrics").fetchall()
    found = [(step, json.loads(values)) for step, values in rows]
    logged = {step: values["loss"] for step, values in found if "loss" in values}
    assert list(logged) == [1, 2, 3, 4]
    assert list(logged.values()) == pytest.approx(metrics(tmp_path / "run", "loss"), rel=1e-4)
