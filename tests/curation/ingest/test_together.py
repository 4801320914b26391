"""Several ingests into one corpus at once: each row is there once, and what each of them says is right."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.ingest import parts
from tests.curation.ingest.files import ingest, jsonl, table, tables, trace, verdict

SMALL = 20_000
"""Some twenty rows a part."""
RUN = f"""
import sys
from curation.ingest import parts
parts.PART_SIZE = {SMALL}
sys.argv[0] = "curate"
from curation.cli import main; main()
"""


def start(corpus: Path, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", RUN, "ingest", *map(str, arguments), "--corpus", str(corpus), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    manifest: dict[str, Any] = json.loads(out)
    return manifest


def rows(first: int, last: int) -> list[dict[str, Any]]:
    return [trace(number, kind="harmful") for number in range(first, last)]


def test_two_processes_at_overlapping_files_leave_every_row_once_and_count_right(tmp_path: Path) -> None:
    left, right = (
        jsonl(tmp_path / "left.jsonl", *rows(0, 400)),
        jsonl(tmp_path / "right.jsonl", *rows(200, 600)),
    )
    corpus = Store.create(tmp_path / "both")
    with corpus.writing("prompts"):  # both are at work, and wait with their first part
        running = [start(corpus.root, left), start(corpus.root, right)]
        for process in running:
            assert process.stderr and "waiting for the table prompts" in process.stderr.readline()
    manifests = [told(process) for process in running]
    ids = [row["trace_id"] for row in table(corpus.root, "traces")]
    assert len(ids) == len({*ids}) == 600
    prompts = [row["prompt_id"] for row in table(corpus.root, "prompts")]
    assert len(prompts) == len({*prompts}) == 600
    said = [one["summary"] for one in manifests]
    assert sum(one["new_rows"] for one in said) == 600
    assert sum(one["already_there"] for one in said) == 200
    assert sum(one["new"]["traces"] for one in said) == 600
    for one in manifests:
        assert one["counts"]["rows"] == 400
        assert one["counts"]["kept"] == one["summary"]["new_rows"]
        assert one["counts"]["filtered"].get("duplicate", 0) == one["summary"]["already_there"]
        assert one["summary"]["differences"] == []


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Lets something happen once, when a part was written and the next one's tables are not locked yet."""

    def arrange(happening: Callable[[], object]) -> None:
        writing, locked = Store.writing, list[int]()

        def lock_later(corpus: Store, *names: str) -> AbstractContextManager[None]:
            locked.append(1)
            if len(locked) == 2:
                happening()
            return writing(corpus, *names)

        monkeypatch.setattr(parts, "PART_SIZE", SMALL)
        monkeypatch.setattr(Store, "writing", lock_later)

    return arrange


def test_what_another_process_wrote_between_two_parts_is_already_there(
    tmp_path: Path, between: Callable[[Callable[[], object]], None]
) -> None:
    left, right = (
        jsonl(tmp_path / "left.jsonl", *rows(0, 100)),
        jsonl(tmp_path / "right.jsonl", *rows(50, 150)),
    )
    theirs: list[dict[str, Any]] = []
    between(lambda: theirs.append(told(start(tmp_path / "c", right))))
    ours: Any = ingest(tmp_path / "c", left)
    assert (theirs[0]["summary"]["new_rows"], theirs[0]["summary"]["already_there"]) == (100, 0)
    assert (ours.summary["new_rows"], ours.summary["already_there"]) == (50, 50)
    assert ours.counts.filtered == {"duplicate": 50} and ours.summary["new"]["traces"] == 50
    assert len(table(tmp_path / "c", "traces")) == 150


def test_the_same_file_twice_at_once_is_as_if_it_were_ingested_again(
    tmp_path: Path, between: Callable[[Callable[[], object]], None]
) -> None:
    """Also with something else said of its rows, which is told as a difference."""
    broken = "{" + "x" * 3_000
    file = jsonl(tmp_path / "rows.jsonl", *[row | {"kind": None} for row in rows(0, 60)], broken, broken)
    ingest(tmp_path / "once", file)
    between(lambda: told(start(tmp_path / "c", file, "--set-field", "strategy=improved")))
    ours: Any = ingest(tmp_path / "c", file, kind="harmful")
    first = ours.summary["new"]["traces"]
    assert 0 < first < 60 and ours.counts.kept == 60 and ours.counts.quarantined == {"malformed_json": 2}
    assert (ours.summary["new_rows"], ours.summary["already_there"]) == (first, 60 - first)
    found = table(tmp_path / "c", "traces")
    assert len({(row["source_line"], row["answer"]) for row in found}) == len(found) == 60
    assert len(table(tmp_path / "c", "quarantine")) == len(table(tmp_path / "once", "quarantine")) == 2
    kinds = {(one["field"], one["previous"], one["value"]) for one in ours.summary["differences"]}
    assert kinds == {("kind", None, "harmful")}


def test_a_set_joins_the_prompts_that_another_set_brought_meanwhile(
    tmp_path: Path, between: Callable[[Callable[[], object]], None]
) -> None:
    questions = [f"Is number {n} odd?" for n in range(60)]
    ours_file, others = tmp_path / "advbench.csv", tmp_path / "strongreject.csv"
    ours_file.write_text("".join(f"{line}\n" for line in ["goal,target", *(f"{q},Sure" for q in questions)]))
    others.write_text(
        "".join(
            f"{line}\n"
            for line in ["category,source,forbidden_prompt", *(f"x,y,{q}" for q in questions[30:])]
        )
    )
    between(lambda: told(start(tmp_path / "c", others, "--set", "strongreject")))
    ours: Any = ingest(tmp_path / "c", ours_file, set="advbench")
    prompts = {row["text"]: row for row in table(tmp_path / "c", "prompts")}
    assert len(prompts) == len(table(tmp_path / "c", "prompts")) == 60
    first = ours.summary["new_rows"]
    assert 0 < first < 60 and ours.summary["joined"] == min(60 - first, 30)
    joined = {(row["prompt_id"], row["evaluation_set"]) for row in table(tmp_path / "c", "memberships")}
    for number, question in enumerate(questions):
        row = prompts[question]
        sets = {row["source"]} | {name for key, name in joined if key == row["prompt_id"]}
        assert sets == ({"advbench", "strongreject"} if number >= 30 else {"advbench"})


def test_annotations_that_another_process_brought_are_counted_once(
    tmp_path: Path, between: Callable[[Callable[[], object]], None]
) -> None:
    ingest(tmp_path / "c", jsonl(tmp_path / "rows.jsonl", *rows(0, 100)))
    ingest(tmp_path / "once", tmp_path / "rows.jsonl")
    told_of = [verdict(source_id=f"t{number}") for number in range(100)]
    ours_file = jsonl(tmp_path / "ours.jsonl", *told_of)
    others = jsonl(tmp_path / "others.jsonl", *told_of[:80], verdict(source_id="t90", label=False))
    ingest(tmp_path / "once", ours_file)
    between(lambda: told(start(tmp_path / "c", others)))
    ours: Any = ingest(tmp_path / "c", ours_file)
    found = table(tmp_path / "c", "annotations")
    assert len({row["trace_id"] for row in found}) == len(found) == 100
    assert ours.counts.filtered == {"already_annotated": 1} and ours.counts.kept == 99
    assert 0 < ours.summary["new"]["annotations"] < 60


def test_nothing_changes_where_nobody_else_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = jsonl(tmp_path / "rows.jsonl", *rows(0, 200), *rows(50, 100))
    ingest(tmp_path / "whole", file)
    monkeypatch.setattr(parts, "PART_SIZE", SMALL)
    ingest(tmp_path / "small", file)
    assert tables(tmp_path / "small") == tables(tmp_path / "whole")
    again = ingest(tmp_path / "small", file)
    assert again.summary["new_rows"] == 0
    assert len(Store(tmp_path / "small").parts("traces")) > 3
