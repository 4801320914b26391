"""A full disk, and many processes at the same work at once: nothing is lost, nothing is there twice."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks.ingest import write_rows
from curation.query import connect, select
from curation.store import Corpus


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "curation.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(running: Sequence[subprocess.Popen[str]], expect: int = 0) -> list[str]:
    said = []
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == expect, errors
        said.append(errors)
    return said


def count(corpus: Path, what: str) -> tuple[int, int]:
    """Rows, and different keys."""
    key = {
        "traces": "trace_id",
        "annotations": "trace_id || pattern || annotator",
        "clusters": "field || method || generation || id",
    }[what]
    row = select(
        connect(Corpus(corpus)), f"select count(*) as n, count(distinct {key}) as k from {what}"
    ).to_pylist()[0]
    return row["n"], row["k"]


def test_eight_processes_at_the_same_stage_leave_every_row_once(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    write_rows(tmp_path / "same.jsonl", 2_000)
    for number in range(4):
        write_rows(tmp_path / f"{number}.jsonl", 500, seed=number + 1)
    files = [tmp_path / "same.jsonl"] * 4 + [tmp_path / f"{number}.jsonl" for number in range(4)]
    finish([start("ingest", file, "--kind", "harmful", "--corpus", corpus) for file in files])
    assert count(corpus, "traces") == (4_000, 4_000)
    finish([start("annotate", "--annotators", "rules", "--corpus", corpus) for _ in range(4)])
    assert count(corpus, "annotations") == (40_000, 40_000)
    finish([start("dedup", "--methods", "exact", "--corpus", corpus) for _ in range(3)])
    n, distinct = count(corpus, "clusters")
    assert n == distinct
    finish([start("compact", "--corpus", corpus) for _ in range(3)])
    assert count(corpus, "traces") == (4_000, 4_000) and count(corpus, "annotations") == (40_000, 40_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_the_same_command_goes_on_when_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    if not shutil.which("mount"):
        pytest.skip("there is no mount command")
    write_rows(tmp_path / "rows.jsonl", 8_000)
    corpus = small_disk / "corpus"
    (said,) = finish(
        [start("ingest", tmp_path / "rows.jsonl", "--kind", "harmful", "--corpus", corpus)], expect=1
    )
    assert (
        "the disk is full; free some space and run the same command again" in said and "Traceback" not in said
    )
    assert not list(corpus.rglob(".tmp-*")) or count(corpus, "traces")[0] < 8_000
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    finish([start("ingest", tmp_path / "rows.jsonl", "--kind", "harmful", "--corpus", corpus)])
    assert count(corpus, "traces") == (8_000, 8_000)
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], capture_output=True, check=False)
    used = sum(path.stat().st_size for path in corpus.rglob("*") if path.is_file())
    subprocess.run(["mount", "-o", f"remount,size={used + 65_536}", str(small_disk)], check=True)
    (said,) = finish([start("annotate", "--annotators", "rules", "--corpus", corpus)], expect=1)
    assert "the disk is full" in said
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    finish([start("annotate", "--annotators", "rules", "--corpus", corpus)])
    assert count(corpus, "annotations") == (80_000, 80_000)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "Why?", "reasoning": "Hm.", "answer": "So."}))
    (said,) = finish(
        [start("ingest", tmp_path / "rows.jsonl", "--corpus", tmp_path / "file" / "corpus")], expect=1
    )
    assert "choose another folder" in said and "Traceback" not in said
