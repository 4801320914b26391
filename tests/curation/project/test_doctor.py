"""`curate doctor`: everything that is missing comes with what to do about it."""

import json
import tomllib
from pathlib import Path

import pytest

from curation.project import doctor
from schemas import errors
from tests.command_line import curate

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def parts() -> dict[str, doctor.MachinePart]:
    return {part.name: part for part in doctor.read()}


def test_every_extra_is_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {*project["optional-dependencies"]} - {"all", "dev"}
    assert extras == {*doctor.FOR} == {extra for named in errors.EXTRAS.values() for extra in named}


def test_on_a_machine_without_anything_each_part_has_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "find_spec", lambda module: None)
    found = parts()
    assert all((part.command is None) == (part.state == "ok") for part in found.values())
    assert found["extra review"].command == "pip install 'lrm-curate[review]'"
    missing = {name for name, part in found.items() if part.state == "missing"}
    assert missing >= {"GPU", "bubblewrap", "chromium", *(f"extra {name}" for name in doctor.FOR)}


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_a_gpu_is_named_and_a_driver_that_fails_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "nvidia-smi", "echo 'NVIDIA H200, 143771 MiB'")
    assert parts()["GPU"][1:3] == ("ok", "NVIDIA H200, 143771 MiB")
    program(tmp_path, "nvidia-smi", "echo 'driver mismatch' >&2; exit 9")
    assert parts()["GPU"][1:3] == ("limited", "nvidia-smi: driver mismatch")


def test_a_sandbox_that_may_not_start_is_limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "bwrap", "echo 'no user namespaces' >&2; exit 1")
    assert parts()["bubblewrap"][1:3] == ("limited", "no user namespaces")


def test_a_memory_limit_that_does_not_fit_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("much", "900TB"):
        monkeypatch.setenv("CURATE_MEMORY", wrong)
        part = parts()["CURATE_MEMORY"]
        assert part.state == "limited" and part.command


def test_the_command_prints_a_table_or_json(tmp_path: Path) -> None:
    shown = curate("doctor", cwd=tmp_path)
    assert shown.returncode == 0 and "extra train" in shown.stdout
    listed = json.loads(curate("doctor", "--json", cwd=tmp_path).stdout)
    assert {"name", "state", "found", "needed_for", "command"} == {*listed[0]}
    assert [part for part in listed if part["state"] not in ("ok", "missing", "limited")] == []
