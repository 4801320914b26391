"""The crash harness: it kills, and it notices when a killed run does not end like the others."""

import random
import shutil
from pathlib import Path

import pytest

from benchmarks import crash

INGEST = crash.STAGES[0]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Before and after an undisturbed ingest."""
    before, after = tmp_path_factory.mktemp("before"), tmp_path_factory.mktemp("after")
    for folder in (before, after):
        crash.write_rows(folder / "big.jsonl", 8_000)
    crash.curate(after, *INGEST.command)
    return before, after


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
    name: str, states: tuple[Path, Path], tmp_path: Path
) -> None:
    (stage,) = (stage for stage in crash.STAGES if stage.name == name)
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    rows = (states[0] / "big.jsonl").read_bytes().splitlines(keepends=True)[:200]
    (before / "few.jsonl").write_bytes(b"".join(rows))
    crash.curate(before, "curate", "ingest", "few.jsonl", "--kind", "harmful", "--corpus", "small")
    crash.curate(before, "curate", "annotate", "--annotators", "rules", "--corpus", "small")
    crash.prepare_upkeep(before)
    shutil.copytree(before, after)
    crash.curate(after, *stage.command)
    assert crash.trials(stage, before, after, seconds=2.5, kills=3, chance=random.Random(2)) == []


@pytest.mark.slow
def test_a_killed_pipeline_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    (stage,) = (stage for stage in crash.STAGES if stage.name == "run")
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    crash.write_pipeline(before, 2_000)
    shutil.copytree(before, after)
    crash.curate(after, *stage.command)
    assert crash.trials(stage, before, after, seconds=4, kills=3, chance=random.Random(4)) == []


def test_a_process_is_really_killed(states: tuple[Path, Path], tmp_path: Path) -> None:
    assert crash.killed(
        states[0], ("curate", "ingest", "big.jsonl", "--corpus", str(tmp_path / "c")), after=0.2
    )
