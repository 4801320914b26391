"""The crash harness: it kills, and it notices when a killed run does not end like the others."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import crash
from tests.command_line import curate

STAGES = {stage.name: stage for stage in crash.STAGES}
INGEST = STAGES["ingest"]


def undisturbed(folder: Path, command: Sequence[str]) -> None:
    """Run `curate` to its end, in this process: nobody kills it."""
    done = curate(*command[1:], cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Before and after an undisturbed ingest."""
    before, after = tmp_path_factory.mktemp("before"), tmp_path_factory.mktemp("after")
    for folder in (before, after):
        crash.write_rows(folder / "big.jsonl", 8_000)
    undisturbed(after, INGEST.command)
    return before, after


@pytest.fixture(scope="module")
def small(states: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus of 200 traces."""
    folder = tmp_path_factory.mktemp("small")
    rows = (states[0] / "big.jsonl").read_bytes().splitlines(keepends=True)[:200]
    (folder / "few.jsonl").write_bytes(b"".join(rows))
    undisturbed(folder, ("curate", "ingest", "few.jsonl", "--kind", "harmful", "--corpus", "small"))
    return folder


def test_a_killed_ingest_ends_like_an_undisturbed_one(states: tuple[Path, Path]) -> None:
    assert crash.trials(INGEST, *states, seconds=1.5, kills=3, chance=random.Random(1)) == []


def test_the_harness_notices_a_row_that_is_missing(states: tuple[Path, Path], tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.mkdir()
    lines = (states[0] / "big.jsonl").read_bytes().splitlines(keepends=True)
    (short / "big.jsonl").write_bytes(b"".join(lines[:-1]))
    (fault,) = crash.trials(INGEST, short, states[1], seconds=0.5, kills=1, chance=random.Random(1))
    assert "big/traces differ" in fault or "big/prompts, big/traces differ" in fault


@pytest.mark.slow
@pytest.mark.parametrize("name", ["check --repair", "forget"])
def test_a_killed_repair_or_removal_ends_like_an_undisturbed_one(
    name: str, small: Path, tmp_path: Path
) -> None:
    stage = STAGES[name]
    before = shutil.copytree(small, tmp_path / "before")
    undisturbed(before, ("curate", "annotate", "--annotators", "rules", "--corpus", "small"))
    crash.prepare_upkeep(before)
    after = shutil.copytree(before, tmp_path / "after")
    undisturbed(after, stage.command)
    assert crash.trials(stage, before, after, seconds=2.5, kills=3, chance=random.Random(2)) == []


@pytest.mark.slow
def test_a_killed_pipeline_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    stage = STAGES["run"]
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    crash.write_pipeline(before, 2_000)
    shutil.copytree(before, after)
    undisturbed(after, stage.command)
    assert crash.trials(stage, before, after, seconds=4, kills=3, chance=random.Random(4)) == []


@pytest.mark.slow
def test_a_killed_page_keeps_every_label_that_it_acknowledged_and_none_twice(
    small: Path, tmp_path: Path
) -> None:
    pytest.importorskip("uvicorn", reason="the extra `view` is not installed")
    stage = STAGES["view"]
    after = shutil.copytree(small, tmp_path / "after")
    crash.curate(after, *stage.command)
    assert crash.trials(stage, small, after, seconds=8, kills=4, chance=random.Random(5)) == []


def test_a_process_is_really_killed(states: tuple[Path, Path], tmp_path: Path) -> None:
    assert crash.killed(
        states[0], ("curate", "ingest", "big.jsonl", "--corpus", str(tmp_path / "c")), after=0.2
    )
