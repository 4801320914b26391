"""A full disk, and many processes at the same work at once: nothing is lost, nothing is there twice."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ingest import write_rows
from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.ingest import stage as ingest
from tests.command_line import curate


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "curation.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def here(*arguments: object, expect: int = 0) -> str:
    """Run a command in this process, where that it is one is not what is tested; gives what it said."""
    done = curate(*arguments, cwd=Path.cwd())
    assert done.returncode == expect, done.stderr
    return done.stderr


def finish(running: Sequence[subprocess.Popen[str]], expect: int = 0) -> list[str]:
    said = []
    for process in running:
        _, errors = process.communicate(timeout=280)
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
        connect(Store(corpus)), f"select count(*) as n, count(distinct {key}) as k from {what}"
    ).to_pylist()[0]
    return row["n"], row["k"]


def test_eight_processes_at_the_same_stage_leave_every_row_once(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    write_rows(tmp_path / "same.jsonl", 800)
    for number in range(4):
        write_rows(tmp_path / f"{number}.jsonl", 200, seed=number + 1)
    files = [tmp_path / "same.jsonl"] * 4 + [tmp_path / f"{number}.jsonl" for number in range(4)]
    finish([start("ingest", file, "--kind", "harmful", "--corpus", corpus) for file in files])
    assert count(corpus, "traces") == (1_600, 1_600)
    finish([start("annotate", "--annotators", "rules", "--corpus", corpus) for _ in range(4)])
    assert count(corpus, "annotations") == (16_000, 16_000)
    finish([start("dedup", "--methods", "exact", "--corpus", corpus) for _ in range(3)])
    n, distinct = count(corpus, "clusters")
    assert n == distinct
    finish([start("compact", "--corpus", corpus) for _ in range(3)])
    assert count(corpus, "traces") == (1_600, 1_600) and count(corpus, "annotations") == (16_000, 16_000)


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
    said = here("ingest", tmp_path / "rows.jsonl", "--corpus", tmp_path / "file" / "corpus", expect=1)
    assert "choose another folder" in said


RECIPE = """name: some
max_tokens: 4096
parts:
  all: {where: "kind = 'harmful'", take: 50}
"""
PATCH = "import sys, os, time; sys.argv[0] = 'curate'\n"
RUN = "from curation.cli import main; main()"


def patched(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start `curate` in a process in which something was done to the modules first."""
    command = [sys.executable, "-c", PATCH + code + RUN, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stages(folder: Path) -> list[tuple[object, ...]]:
    corpus = ("--corpus", folder / "corpus")
    (folder / "mix.yaml").write_text(RECIPE)
    return [
        ("ingest", folder / "rows.jsonl", "--kind", "harmful", *corpus),
        ("annotate", "--annotators", "rules", *corpus),
        ("dedup", *corpus),
        ("decontaminate", "--against", f"other={folder / 'other.jsonl'}:prompt", *corpus),
        ("compact", *corpus),
        ("build-mix", folder / "mix.yaml", "--out", folder / "mix", *corpus),
    ]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a corpus and its mix, but for the index, whose name has the times of files in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".index" not in path.parts
    }


@pytest.mark.slow
def test_a_clock_that_goes_backwards_changes_nothing(tmp_path: Path) -> None:
    back = (  # every reading is a day before the last; files of the past look like files of the future
        "import itertools, datetime; start = time.time(); days = itertools.count()\n"
        "time.time = lambda: start - 86400 * next(days)\n"
        "time.time_ns = lambda: int(time.time() * 10**9)\n"
    )
    for name, code in (("as-usual", ""), ("backwards", back)):
        folder = tmp_path / name
        folder.mkdir()
        write_rows(folder / "rows.jsonl", 300)
        write_rows(folder / "other.jsonl", 20, seed=9)
        for number, arguments in enumerate(stages(folder)):
            if not code:
                here(*arguments)
            else:
                finish([patched(code, *arguments)])
                for path in (folder / "corpus").rglob("*"):
                    os.utime(path, (2e9 - 1e6 * number,) * 2)
    assert contents(tmp_path / "as-usual") == contents(tmp_path / "backwards")


@pytest.fixture(scope="module")
def ingested_twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus whose traces are in two parts, and what the stages after the first ingest read."""
    folder = tmp_path_factory.mktemp("twice")
    write_rows(folder / "other.jsonl", 20, seed=9)
    for seed in range(2):
        write_rows(folder / "rows.jsonl", 300, seed=seed)
        here(*stages(folder)[0])
    return folder


@pytest.mark.parametrize("stage", range(1, 6))
def test_a_part_deleted_while_a_stage_reads_is_named(
    ingested_twice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: int
) -> None:
    folder = shutil.copytree(ingested_twice, tmp_path / "folder")
    lost = Store(folder / "corpus").parts("traces")[-1]
    listed = Store.parts

    def vanishing(self: Store, table: str, among: Any = None) -> list[Path]:
        found = listed(self, table, among)
        for part in found[1:] if table == "traces" else ():
            part.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Store, "parts", vanishing)
    said = here(*stages(folder)[stage], expect=1)
    assert lost.name in said and "deleted while it was wanted" in said


@pytest.mark.parametrize("when", ["make_plans", "hash_files"])
def test_an_input_deleted_after_it_was_found_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    write_rows(tmp_path / "rows.jsonl", 300)
    usual = getattr(ingest, when)

    def vanishing(files: Any, *more: Any) -> Any:
        plans = usual(files, *more) if when == "make_plans" else None
        (tmp_path / "rows.jsonl").unlink(missing_ok=True)
        return plans or usual(files, *more)

    monkeypatch.setattr(ingest, when, vanishing)
    said = here(*stages(tmp_path)[0], expect=1)
    assert "rows.jsonl" in said and ("deleted" in said or "cannot be read" in said)


@pytest.mark.slow
def test_several_processes_build_one_mix_and_pack_while_others_read(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 2_000)
    for arguments in stages(tmp_path)[:2]:
        here(*arguments)
    build = stages(tmp_path)[-1]
    finish([start(*build), start("compact", "--corpus", tmp_path / "corpus"), start(*build), start(*build)])
    manifest = (tmp_path / "mix" / "manifest.json").read_bytes()
    shutil.rmtree(tmp_path / "mix")
    here(*build)
    assert (tmp_path / "mix" / "manifest.json").read_bytes() == manifest


@pytest.mark.slow
def test_three_processes_that_import_the_same_reviews_keep_each_once(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 60)
    for arguments in stages(tmp_path)[:2]:
        here(*arguments)
    corpus = ("--corpus", tmp_path / "corpus")
    finish([start("review", "export", tmp_path / "out.jsonl", "--round", "r", *corpus) for _ in range(3)])
    tasks = [json.loads(line)["trace_id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    moment = "2026-01-01T00:00:00+00:00"
    given = [{"trace_id": i, "reviewer": "ann", "patterns": ["none"], "verdict": "drop", "updated_at": moment} for i in tasks]  # fmt: skip
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    finish([start("review", "import", tmp_path / "in.jsonl", "--round", "r", *corpus) for _ in range(3)])
    found = Store(tmp_path / "corpus")
    assert sum(1 for row in found.scan("reviews") for _ in row["trace_id"]) == len(found.keys("reviews")) == len(tasks)  # fmt: skip
    n, distinct = count(tmp_path / "corpus", "annotations")
    assert n == distinct == 600 + 5 * len(tasks)


def test_a_query_without_enough_memory_says_what_to_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "rows.jsonl", 50)
    here(*stages(tmp_path)[0])
    monkeypatch.setenv("CURATE_MEMORY", "200MB")
    query = "select list(a.reasoning || b.reasoning || c.reasoning || d.reasoning) from traces a, traces b, traces c, traces d"
    said = here("sql", query, "--corpus", tmp_path / "corpus", expect=1)
    assert "needs more than CURATE_MEMORY=200MB; raise it" in said
