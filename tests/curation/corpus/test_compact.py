"""Packing parts changes no row, no mix and no lock; readers see every row once at any moment."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from curation.cli import app
from curation.corpus import compact
from curation.corpus.compact import CompactRecipe, groups
from curation.corpus.part_files import PartFiles
from curation.corpus.query import connect, open_tables, select
from curation.corpus.store import PACKED, Store
from curation.mix import lock
from curation.mix.sweep import load_points
from schemas import RecipeError, prompt_id
from schemas.tables import TRACES


def add(corpus: Store, numbers: range) -> None:
    """One part of prompts and one of traces for each number."""
    for number in numbers:
        text = f"Question {number}"
        prompt = {"prompt_id": prompt_id(text), "text": text, "kind": "benign"}
        trace = {"trace_id": f"t{number}", "prompt_id": prompt_id(text), "prompt": text, "kind": "benign"}
        corpus.append_rows("prompts", [prompt])
        corpus.append_rows("traces", [trace | {"reasoning": "Hm.", "answer": "Yes.", "sample_index": 0}])


def content(corpus: Store) -> list[dict[str, object]]:
    rows = select(open_tables(corpus), "select * from traces order by trace_id").to_pylist()
    assert len({row["trace_id"] for row in rows}) == len(rows)
    return rows


def test_neighbours_are_packed_up_to_the_size_and_large_parts_stay() -> None:
    assert groups([3, 3, 3, 60, 3, 3], 10) == [[0, 1, 2], [4, 5]]
    assert groups([3], 10) == [] and groups([], 10) == [] and groups([6, 7, 8], 10) == []


def test_packing_keeps_every_row_and_pruning_frees_the_files(corpus: Store) -> None:
    add(corpus, range(30))
    before = content(corpus)
    manifest = compact.run(corpus.root, CompactRecipe())
    assert manifest.summary["traces"]["before"] == 30 and manifest.summary["traces"]["after"] == 1
    assert content(corpus) == before and corpus.keys("traces") == {row["trace_id"] for row in before}
    assert len(corpus.files("traces")) == 31
    compact.run(corpus.root, CompactRecipe(prune=True))
    assert [part.name.endswith(PACKED) for part in corpus.files("traces")] == [True]
    assert content(corpus) == before


def test_packed_parts_are_packed_again_with_new_ones(corpus: Store) -> None:
    for start in (0, 10, 20):
        add(corpus, range(start, start + 10))
        compact.run(corpus.root, CompactRecipe())
    assert len(corpus.parts("traces")) == 1 and len(content(corpus)) == 30
    compact.run(corpus.root, CompactRecipe(prune=True))
    assert len(corpus.files("traces")) == 1 and len(content(corpus)) == 30


def test_small_parts_make_full_row_groups(corpus: Store) -> None:
    add(corpus, range(20))
    compact.run(corpus.root, CompactRecipe())
    (part,) = corpus.parts("traces")
    assert pq.read_metadata(part).num_row_groups == 1


def one_row_parts(corpus: Store, numbers: range) -> None:
    """Traces in a part each, written without the wait for the disk."""
    for number in numbers:
        row = {"trace_id": f"t{number}", "prompt_id": "p", "prompt": "q", "reasoning": "r", "answer": "a"}
        rows = pa.Table.from_pylist([row | {"sample_index": 0}], TRACES)
        folder = corpus.root / "traces"
        folder.mkdir(exist_ok=True)
        pq.write_table(rows, folder / f"part-{number:032x}.parquet")


def test_a_table_of_very_many_parts_is_packed_when_it_is_read(corpus: Store, capsys) -> None:
    one_row_parts(corpus, range(compact.MANY))
    assert len(content(corpus)) == compact.MANY
    assert (
        len(corpus.parts("traces")) == 1 and f"traces: {compact.MANY} small parts" in capsys.readouterr().err
    )
    one_row_parts(corpus, range(compact.MANY, 2 * compact.MANY - 1))
    assert len(content(corpus)) == 2 * compact.MANY - 1
    assert len(corpus.parts("traces")) == compact.MANY  # the packed one stays: it is of another class
    one_row_parts(corpus, range(2 * compact.MANY - 1, 2 * compact.MANY))
    assert len(content(corpus)) == 2 * compact.MANY and len(corpus.parts("traces")) == 2


def test_a_table_that_somebody_writes_or_nobody_can_write_is_read_as_it_is(corpus: Store) -> None:
    one_row_parts(corpus, range(compact.MANY))
    with corpus.writing("traces"):
        assert len(content(corpus)) == compact.MANY == len(corpus.parts("traces"))
    (corpus.root / ".locks" / "traces").unlink()
    (corpus.root / ".locks").rmdir()
    (corpus.root / ".locks").write_text("as if the disk was read-only")
    assert len(content(corpus)) == compact.MANY == len(corpus.parts("traces"))


def test_a_query_opens_each_part_as_often_however_many_there_are(corpus: Store, monkeypatch) -> None:
    opened: list[str] = []
    opening = PartFiles.open

    def counted(self: PartFiles, path: str, mode: str = "rb", **rest: object) -> object:
        opened.append(path)
        return opening(self, path, mode, **rest)

    monkeypatch.setattr(PartFiles, "open", counted)
    times = []
    for number in (20, 80):
        one_row_parts(corpus, range(number))
        opened.clear()
        content(corpus)
        times.append(len(opened) / number)
    assert times[1] <= times[0] and times[1] < 10


def test_packing_twice_changes_nothing(corpus: Store) -> None:
    add(corpus, range(5))
    compact.run(corpus.root, CompactRecipe())
    files = corpus.files("traces")
    compact.run(corpus.root, CompactRecipe())
    assert corpus.files("traces") == files


def test_a_snapshot_is_found_again_in_packed_parts(corpus: Store) -> None:
    add(corpus, range(10))
    then = [part.name for part in corpus.parts("traces")]
    compact.run(corpus.root, CompactRecipe())
    add(corpus, range(10, 15))
    compact.run(corpus.root, CompactRecipe(target_mb=1, prune=True))
    assert len(content(corpus)) == 15
    rows = select(connect(corpus, parts={"traces": then}), "select count(*) as n from traces")["n"][0].as_py()
    assert rows == 10 and corpus.missing("traces", then) == []


def test_a_snapshot_that_was_packed_with_newer_rows_is_missing(corpus: Store) -> None:
    add(corpus, range(4))
    then = [part.name for part in corpus.parts("traces")]
    add(corpus, range(4, 6))
    compact.run(corpus.root, CompactRecipe())
    assert corpus.missing("traces", then) == []  # the files are still there
    compact.run(corpus.root, CompactRecipe(prune=True))
    assert corpus.missing("traces", then) == sorted(then)


def test_a_locked_mix_is_built_again_from_packed_parts(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("name: x\nparts:\n  a: {where: \"kind = 'harmful'\", take: 10}\n")
    (loaded,) = load_points(tmp_path / "r.yaml").values()
    out, locked = tmp_path / "mix", tmp_path / "x.lock"
    first = lock.run(filled.root, loaded, out=out, lock=locked)
    compact.run(filled.root, CompactRecipe())
    compact.run(filled.root, CompactRecipe(prune=True))
    again = lock.run(filled.root, loaded, out=out, lock=locked)
    assert again.summary["mix_id"] == first.summary["mix_id"] and again.outputs == first.outputs


def test_a_lock_says_that_its_parts_were_packed_with_newer_ones(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("name: x\nparts:\n  a: {where: \"kind = 'harmful'\", take: 10}\n")
    (loaded,) = load_points(tmp_path / "r.yaml").values()
    lock.run(filled.root, loaded, out=tmp_path / "mix", lock=tmp_path / "x.lock")
    add(filled, range(3))
    compact.run(filled.root, CompactRecipe())
    compact.run(filled.root, CompactRecipe(prune=True))
    with pytest.raises(RecipeError, match=r"traces: .* parts are gone"):
        lock.run(filled.root, loaded, out=tmp_path / "mix", lock=tmp_path / "x.lock")


def test_killed_at_any_moment_every_row_is_there_once(corpus: Store) -> None:
    add(corpus, range(120))
    before = content(corpus)
    chance = random.Random(7)
    for round_ in range(6):
        command = [
            sys.executable,
            "-m",
            "curation.cli",
            "compact",
            "--corpus",
            str(corpus.root),
            "--target-mb",
            "1",
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as packing:
            try:
                packing.wait(0.3 + chance.random())
            except subprocess.TimeoutExpired:
                os.kill(packing.pid, signal.SIGKILL)
        assert content(corpus) == before, round_


def test_the_command_shows_what_it_packed_and_what_can_be_deleted(corpus: Store) -> None:
    add(corpus, range(3))
    shown = CliRunner().invoke(app, ["compact", "--corpus", str(corpus.root)])
    assert shown.exit_code == 0 and "traces" in shown.stdout and "curate compact --prune" in shown.stderr
    plain = CliRunner().invoke(app, ["compact", "--prune", "--json", "--corpus", str(corpus.root)])
    assert json.loads(plain.stdout)["summary"]["traces"]["replaced"] == 0
