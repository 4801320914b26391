"""Ingest, end to end: every row accounted for, once and for all, and errors that say what to do."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.ingest import parts
from curation.ingest.stage import IngestRecipe, run
from schemas.errors import CorpusError, DataError, RecipeError
from schemas.manifest import Manifest
from schemas.tables import TABLES

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "curation" / "samples"


def recipe(**options: Any) -> IngestRecipe:
    return IngestRecipe.from_options(**{"format": "auto", "kind": None, "map": [], "source": None} | options)


def ingest(corpus: Path, *files: Path, **options: Any) -> Manifest:
    manifest = run(corpus, [str(file) for file in files], recipe(**options))
    assert manifest.counts.balance == 0
    return manifest


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def trace(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"t{number}",
        "prompt": f"Question {number}?",
        "reasoning": f"Think {number}.",
        "answer": "A.",
    } | more


def table(corpus: Path, name: str) -> list[dict[str, Any]]:
    """A table's rows, in an order that does not depend on parts."""
    rows = [row for batch in Store(corpus).scan(name) for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def tables(corpus: Path) -> dict[str, list[dict[str, Any]]]:
    return {name: table(corpus, name) for name in TABLES}


# what comes in


@pytest.mark.parametrize(
    ("name", "form", "traces", "prompts"),
    [
        ("star1.json", "star1", 840, 840),
        ("sft_train_nocot.json", "study", 647, 647),
        ("math500.jsonl", "problems", 0, 500),
        ("aime24.jsonl", "problems", 0, 30),
        ("xstest_safe_150.jsonl", "queries", 0, 150),
        ("advbench_subset_50.jsonl", "queries", 0, 50),
    ],
)
def test_keeps_every_row_of_the_real_files(
    tmp_path: Path, shared_data: Path, name: str, form: str, traces: int, prompts: int
) -> None:
    manifest = ingest(tmp_path / "c", shared_data / name)
    assert manifest.summary["formats"] == {name: form}
    assert manifest.counts.kept == manifest.counts.rows == max(traces, prompts)
    assert (len(table(tmp_path / "c", "traces")), len(table(tmp_path / "c", "prompts"))) == (traces, prompts)


def test_a_real_response_can_be_put_together_again(tmp_path: Path, shared_data: Path) -> None:
    ingest(tmp_path / "c", shared_data / "star1.json")
    rows = {row["id"]: row for row in json.loads((shared_data / "star1.json").read_bytes())}
    for found in table(tmp_path / "c", "traces"):
        row = rows[found["source_id"]]
        assert (
            row["response"].split() == f"<think>\n{found['reasoning']}\n</think>\n{found['answer']}".split()
        )
        assert json.loads(found["extra"])["score"] == row["score"]
        assert found["kind"] == "harmful"


def test_the_bundled_samples_go_in_and_the_broken_ones_are_set_aside(tmp_path: Path) -> None:
    corpus = tmp_path / "c"
    manifest = ingest(corpus, SAMPLES / "labels.jsonl", SAMPLES / "traces.jsonl")
    assert manifest.counts.kept == manifest.counts.rows
    assert manifest.summary["new"]["annotations"] == sum(1 for _ in (SAMPLES / "labels.jsonl").open())
    assert ingest(corpus, SAMPLES / "eval_prompts.jsonl").counts.kept == 60
    broken = ingest(corpus, SAMPLES / "broken.jsonl").counts
    assert broken.kept == 0
    assert [row["reason"] for row in sorted(table(corpus, "quarantine"), key=lambda row: row["source_line"])] == [
        "no_think", "unclosed", "several", "empty_answer", "truncated", "wrong_type", "malformed_json", "loop",
        "missing_prompt", "missing_response",
    ]  # fmt: skip


def test_source_and_kind_come_from_the_row_then_the_user_then_the_file(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "mine.jsonl", trace(1), trace(2, source="S", kind="math"))
    ingest(tmp_path / "a", file)
    ingest(tmp_path / "b", file, source="named", kind="benign")
    assert {(r["source"], r["kind"]) for r in table(tmp_path / "a", "traces")} == {
        ("mine", None),
        ("S", "math"),
    }
    assert {(r["source"], r["kind"]) for r in table(tmp_path / "b", "traces")} == {
        ("named", "benign"),
        ("S", "math"),
    }


def test_unicode_survives_as_it_is(tmp_path: Path) -> None:
    text = "é 🙂 \u2028 한국어 e\u0301"
    ingest(tmp_path / "c", jsonl(tmp_path / "a.jsonl", trace(1, prompt=text, reasoning=text, answer=text)))
    (found,) = table(tmp_path / "c", "traces")
    assert (found["prompt"], found["reasoning"], found["answer"]) == (text, text, text)


# accounting


def test_a_rerun_gives_the_same_counts_and_tables_and_nothing_new(tmp_path: Path) -> None:
    rows = [trace(1), trace(2), trace(1), trace(3, answer=""), "{broken", trace(4, prompt="Question 2?")]
    file, corpus = jsonl(tmp_path / "a.jsonl", *rows), tmp_path / "c"
    first = ingest(corpus, file)
    before = tables(corpus)
    assert first.counts.model_dump() == {
        "rows": 6,
        "kept": 3,
        "filtered": {"duplicate": 1},
        "quarantined": {"empty_answer": 1, "malformed_json": 1},
        "failed": {},
    }
    assert first.summary["new"] == {"prompts": 2, "quarantine": 2, "traces": 3, "annotations": 0}
    again = ingest(corpus, file)
    assert again.counts == first.counts
    assert set(again.summary["new"].values()) == {0}
    assert tables(corpus) == before


def test_the_same_content_in_another_file_is_a_duplicate(tmp_path: Path) -> None:
    first, second = jsonl(tmp_path / "a.jsonl", trace(1)), jsonl(tmp_path / "b.jsonl", trace(1), trace(2))
    counts = ingest(tmp_path / "c", first, second).counts
    assert (counts.kept, counts.filtered) == (2, {"duplicate": 1})
    assert ingest(tmp_path / "c", second).counts.filtered == {"duplicate": 1}


def test_the_first_row_of_a_prompt_describes_it_and_later_rows_keep_theirs(tmp_path: Path) -> None:
    rows = trace(1, category="first"), trace(2, prompt="Question 1?", category="second")
    ingest(tmp_path / "c", jsonl(tmp_path / "a.jsonl", *rows))
    (prompt,) = table(tmp_path / "c", "prompts")
    assert prompt["category"] == "first"
    kept = {row["source_id"]: json.loads(row["extra"])["category"] for row in table(tmp_path / "c", "traces")}
    assert kept == {"t1": "first", "t2": "second"}


def test_a_quarantined_row_can_be_found_and_read(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", trace(1), trace(2, answer=" "), trace(3, answer=5, id=77))
    ingest(tmp_path / "c", file)
    found = {row["source_line"]: row for row in table(tmp_path / "c", "quarantine")}
    assert {line: (r["source_file"], r["source_id"], r["reason"]) for line, r in found.items()} == {
        2: ("a.jsonl", "t2", "empty_answer"),
        3: ("a.jsonl", "77", "wrong_type"),
    }
    assert json.loads(found[2]["row"]) == trace(2, answer=" ")
    assert found[3]["detail"] == "answer must be text, not int"


def test_a_long_bad_row_is_cut_and_says_so(tmp_path: Path) -> None:
    ingest(
        tmp_path / "c", jsonl(tmp_path / "a.jsonl", trace(1), trace(2, answer="", reasoning="x" * 200_000))
    )
    (found,) = table(tmp_path / "c", "quarantine")
    assert len(found["row"]) == parts.KEPT_TEXT
    assert "only the first 100000 of its 200" in found["detail"]


def test_invalid_utf8_is_kept_readable(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(json.dumps(trace(1)).encode() + b'\n{"prompt": "\xff"}\n')
    assert ingest(tmp_path / "c", tmp_path / "a.jsonl").counts.quarantined == {"invalid_utf8": 1}
    (found,) = table(tmp_path / "c", "quarantine")
    assert found["row"] == '{"prompt": "\\xff"}'


def test_parquet_rows_keep_their_odd_columns_and_bad_ones_their_text(tmp_path: Path) -> None:
    when = datetime(2026, 1, 2, tzinfo=UTC)
    rows = [trace(1, when=when, price=Decimal("1.5"), raw=b"x"), trace(2, when=when, prompt=None)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert ingest(tmp_path / "c", tmp_path / "a.parquet").counts.quarantined == {"missing_prompt": 1}
    (kept,), (bad,) = table(tmp_path / "c", "traces"), table(tmp_path / "c", "quarantine")
    assert json.loads(kept["extra"]) == {"when": "2026-01-02T00:00:00+00:00", "price": "1.5", "raw": "b'x'"}
    assert json.loads(bad["row"])["reasoning"] == "Think 2."


def test_small_parts_hold_the_same_rows_as_one_large_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = jsonl(
        tmp_path / "a.jsonl", *(trace(n % 90, answer="" if n % 7 == 0 else "A.") for n in range(100))
    )
    whole = ingest(tmp_path / "whole", file)
    monkeypatch.setattr(parts, "PART_SIZE", 3000)
    pieces = ingest(tmp_path / "pieces", file)
    assert len(Store(tmp_path / "pieces").parts("traces")) > 5
    assert tables(tmp_path / "pieces") == tables(tmp_path / "whole")
    assert pieces.counts == whole.counts


def test_prompts_are_on_disk_before_their_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    append = Store.append
    monkeypatch.setattr(
        Store, "append", lambda self, name, rows: (order.append(name), append(self, name, rows))
    )
    ingest(tmp_path / "c", jsonl(tmp_path / "a.jsonl", trace(1), trace(2, answer="")))
    assert order == ["prompts", "quarantine", "traces"]


def test_the_manifest_is_kept_with_the_hash_of_the_file(tmp_path: Path) -> None:
    import hashlib

    file = jsonl(tmp_path / "a.jsonl", trace(1))
    manifest = ingest(tmp_path / "c", file)
    assert manifest.inputs[0].blake2b == hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    (kept,) = (tmp_path / "c" / "manifests").iterdir()
    assert Manifest.model_validate_json(kept.read_bytes()) == manifest


# annotations


def verdict(**more: Any) -> dict[str, Any]:
    return {"source_id": "t1", "pattern": "weak_vacillation", "annotator": "human:a", "label": True} | more


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """A corpus with two traces, t1 and t2."""
    ingest(
        tmp_path / "c", jsonl(tmp_path / "traces.jsonl", trace(1, reasoning="é🙂 keep the tone"), trace(2))
    )
    return tmp_path / "c"


def test_evidence_in_words_becomes_offsets_in_code_points(tmp_path: Path, judged: Path) -> None:
    spans = [{"field": "reasoning", "text": "keep the tone"}, {"field": "reasoning", "start": 0, "end": 2}]
    ingest(judged, jsonl(tmp_path / "l.jsonl", verdict(spans=spans, score=0.9, rationale="says so")))
    (found,) = table(judged, "annotations")
    assert found["spans"] == [
        {"field": "reasoning", "start": 3, "end": 16},
        {"field": "reasoning", "start": 0, "end": 2},
    ]
    assert (found["label"], round(found["score"], 6), found["rationale"]) == (True, 0.9, "says so")


def test_annotations_may_name_the_trace_id_and_abstain(tmp_path: Path, judged: Path) -> None:
    trace_id = table(judged, "traces")[0]["trace_id"]
    row = {"trace_id": trace_id, "pattern": "inconsistency", "annotator": "judge:m@1", "label": None}
    assert ingest(judged, jsonl(tmp_path / "l.jsonl", row)).counts.kept == 1
    assert table(judged, "annotations")[0]["label"] is None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (verdict(source_id="nobody"), "unknown_trace"),
        (verdict(trace_id="0" * 32), "unknown_trace"),
        (verdict(pattern="daydreaming"), "unknown_pattern"),
        (verdict(spans=[{"field": "reasoning", "text": "not there"}]), "bad_span"),
        (verdict(spans=[{"field": "reasoning", "start": 3, "end": 99}]), "bad_span"),
        (verdict(spans=[{"field": "reasoning", "start": 3, "end": 3}]), "bad_span"),
        (verdict(spans=[{"field": "answer", "text": "A."}]), "bad_span"),
        (verdict(spans=[{"field": "prompt", "text": "Q"}]), "bad_span"),
        (verdict(score=2), "wrong_type"),
        (verdict(annotator="no name!"), "wrong_type"),
        ("{broken", "malformed_json"),
    ],
)
def test_an_annotation_that_fits_no_trace_is_set_aside(
    tmp_path: Path, judged: Path, row: Any, reason: str
) -> None:
    good = verdict(source_id="t2")
    counts = ingest(judged, jsonl(tmp_path / "l.jsonl", good, row)).counts
    assert (counts.kept, counts.quarantined) == (1, {reason: 1})


def test_a_source_id_of_two_traces_is_ambiguous(tmp_path: Path, judged: Path) -> None:
    ingest(judged, jsonl(tmp_path / "more.jsonl", trace(1, answer="B.")))
    assert ingest(judged, jsonl(tmp_path / "l.jsonl", verdict())).counts.quarantined == {"ambiguous_trace": 1}


def test_a_verdict_is_never_overwritten(tmp_path: Path, judged: Path) -> None:
    first = jsonl(tmp_path / "l.jsonl", verdict(score=0.1), verdict(score=0.1), verdict(score=0.2))
    counts = ingest(judged, first).counts
    assert (counts.kept, counts.filtered) == (2, {"already_annotated": 1})
    assert ingest(judged, first).counts == counts
    assert len(table(judged, "annotations")) == 1


# errors a user is likely to make


def fails(corpus: Path, *files: Path, **options: Any) -> str:
    with pytest.raises((DataError, RecipeError, CorpusError)) as error:
        run(corpus, [str(file) for file in files], recipe(**options))
    return str(error.value)


def test_every_unreadable_file_is_named_before_anything_is_written(tmp_path: Path) -> None:
    good, empty = jsonl(tmp_path / "good.jsonl", trace(1)), jsonl(tmp_path / "empty.jsonl")
    message = fails(tmp_path / "c", good, empty, tmp_path / "nowhere.jsonl", tmp_path)
    assert "empty.jsonl: the file is empty" in message
    assert "nowhere.jsonl: no such file" in message
    assert "a folder, but not one that `datasets` saved" in message
    assert not (tmp_path / "c").exists()


def test_undetectable_columns_are_listed_with_the_way_out(tmp_path: Path) -> None:
    message = fails(tmp_path / "c", jsonl(tmp_path / "a.jsonl", {"left": "a", "right": "b"}))
    assert "a.jsonl: no supported format has these columns: left, right" in message
    assert "--map prompt=COLUMN --map response=COLUMN" in message


def test_a_mapped_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    message = fails(
        tmp_path / "c", jsonl(tmp_path / "a.jsonl", {"q": "a", "r": "b"}), map=["prompt=qq", "response=r"]
    )
    assert message == "a.jsonl: no column 'qq' for --map; the columns are: q, r"


def test_a_map_reads_what_no_format_knows(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", {"q": "Why?", "r": "<think>x</think>y"})
    assert ingest(tmp_path / "c", file, map=["prompt=q", "response=r"]).counts.kept == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "excel"}, ["--format excel: unknown", "star1", "sharegpt", "alpaca"]),
        ({"kind": "evil"}, ["kind: write 'harmful', 'benign', 'math' or 'code'"]),
        ({"format": "x", "set": "y"}, ["--format x", "--set y"]),
        ({"map": ["prompt"]}, ["--map prompt: write it as field=column"]),
        ({"map": ["prompt="]}, ["--map prompt=: write it as field=column"]),
        ({"map": ["question=q", "prompt=p"]}, ["--map question: unknown field", "response"]),
        ({"map": ["response=r"]}, ["add --map prompt=COLUMN"]),
        ({"map": ["prompt=a", "response=a"]}, ["one column is named for two fields"]),
        ({"map": ["prompt=a", "prompt=b"]}, ["--map prompt: given twice"]),
        ({"map": ["prompt=a", "answer=b"]}, ["reasoning and answer need each other"]),
        ({"map": ["prompt=a", "response=b", "answer=c"]}, ["map either it or those two"]),
        ({"map": ["prompt=a"], "format": "star1"}, ["use one of them"]),
    ],
)
def test_wrong_options_are_all_named(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        recipe(**options)
    assert [word for word in words if word not in str(error.value)] == []


def test_a_file_given_twice_and_one_without_objects_are_refused(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", trace(1))
    assert "a.jsonl: given twice; name it once" in fails(tmp_path / "c", file, file)
    assert "name it .csv or .tsv" in fails(tmp_path / "c", jsonl(tmp_path / "b.txt", "a,b", "1,2"))
    (tmp_path / "e.json").write_text("[]")
    assert "no rows" in fails(tmp_path / "c", tmp_path / "e.json")


def test_a_path_through_a_file_says_so(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", trace(1))
    assert "a part of this path is a file, not a folder; choose another folder" in fails(file / "c", file)


def test_a_read_only_folder_says_so() -> None:
    code = (
        "import os, sys; from pathlib import Path; from curation.ingest.stage import IngestRecipe, run\n"
        "if os.geteuid() == 0: os.setuid(65534)  # root may write anywhere\n"
        "run(Path(sys.argv[1]), [sys.argv[2]], IngestRecipe())"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = jsonl(Path(folder) / "a.jsonl", trace(1))
        Path(folder, "locked").mkdir()
        Path(folder, "locked").chmod(0o555)
        Path(folder).chmod(0o755)
        for corpus in ("locked/c", "locked"):
            command = [sys.executable, "-c", code, str(Path(folder, corpus)), str(file)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
            assert "CorpusError" in done.stderr
            assert "no permission to write here; choose another folder or change its mode" in done.stderr


def test_a_full_disk_says_so_and_the_next_run_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = jsonl(tmp_path / "a.jsonl", *(trace(n) for n in range(50)), trace(99, answer=""))
    monkeypatch.setattr(parts, "PART_SIZE", 5000)
    fsync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    message = fails(tmp_path / "c", file)
    assert "the disk is full; free some space and run the same command again" in message
    monkeypatch.setattr(os, "fsync", fsync)
    assert not list((tmp_path / "c").rglob(".tmp-*"))
    ingest(tmp_path / "c", file)
    ingest(tmp_path / "whole", file)
    assert tables(tmp_path / "c") == tables(tmp_path / "whole")


@pytest.mark.skipif(sys.platform != "linux", reason="limits a real file's size the Linux way")
def test_a_write_that_really_fails_leaves_no_half_part(tmp_path: Path) -> None:
    file = jsonl(
        tmp_path / "a.jsonl", *(trace(n, answer=random.Random(n).randbytes(3000).hex()) for n in range(60))
    )
    code = (
        "import resource, signal, sys; from pathlib import Path; from curation.ingest.stage import IngestRecipe, run\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))\n"
        "run(Path(sys.argv[1]), [sys.argv[2]], IngestRecipe())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "c"), str(file)], capture_output=True, text=True, cwd=ROOT
    )
    assert "schemas.errors.CorpusError" in done.stderr
    assert not Store(tmp_path / "c").parts("traces")
    assert not list((tmp_path / "c").rglob(".tmp-*"))
    assert ingest(tmp_path / "c", file).counts.kept == 60


# killed, and bounded


INGEST = (
    "import sys; from pathlib import Path; from curation.ingest import parts; parts.PART_SIZE = 20_000\n"
    "from curation.ingest.stage import IngestRecipe, run; print('ready', flush=True)\n"
    "run(Path(sys.argv[1]), sys.argv[2:], IngestRecipe())"
)


def test_killed_at_any_moment_and_run_again_gives_the_same_tables(tmp_path: Path) -> None:
    rows = [trace(n % 2900, answer="" if n % 11 == 0 else "A." * (n % 5 + 1)) for n in range(3000)]
    file, whole, corpus = jsonl(tmp_path / "a.jsonl", *rows), tmp_path / "whole", tmp_path / "c"
    labels = jsonl(tmp_path / "l.jsonl", *(verdict(source_id=f"t{n}") for n in range(1, 2000)))
    command = [sys.executable, "-c", INGEST, str(corpus), str(file), str(labels)]
    undisturbed = ingest(whole, file, labels)
    rng, killed, partial = random.Random(5), 0, 0
    for _ in range(8):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout and process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
        found = table(corpus, "traces") if (corpus / "corpus.json").exists() else []
        partial += 0 < len(found) < len(table(whole, "traces"))
        assert not {row["prompt_id"] for row in found} - {
            row["prompt_id"] for row in (table(corpus, "prompts") if found else [])
        }
    again = ingest(corpus, file, labels)
    assert killed >= 2
    assert partial >= 1
    assert again.counts == undisturbed.counts
    assert tables(corpus) == tables(whole)
    assert not list(corpus.rglob(".tmp-*"))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(rows: int, kind: str) -> int:
        """Peak memory in bytes of ingesting rows of 20 kB each."""
        file = tmp_path / f"{rows}.{kind}"
        with file.open("w") as out:
            out.write("[\n" if kind == "json" else "")
            for n in range(rows):
                comma = "," if kind == "json" and n < rows - 1 else ""
                out.write(
                    json.dumps(trace(n, answer=random.Random(n).randbytes(10_000).hex())) + comma + "\n"
                )
            out.write("]" if kind == "json" else "")
        code = INGEST.replace("20_000", "4_000_000") + (
            "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / f"{rows}{kind}"), str(file)],
            capture_output=True, text=True, cwd=ROOT, check=True,
        )  # fmt: skip
        return int(done.stdout.split()[-1])

    for kind in ("jsonl", "json"):
        small, large = peak(1500, kind), peak(6000, kind)  # 30 and 120 MB of text
        assert large - small < 30e6, (kind, small, large)


def test_the_tables_can_be_queried_as_the_command_line_does(tmp_path: Path) -> None:
    ingest(tmp_path / "c", jsonl(tmp_path / "a.jsonl", trace(1), trace(2, answer="")))
    rows = select(connect(Store(tmp_path / "c")), "select source_id, reason from quarantine").to_pylist()
    assert rows == [{"source_id": "t2", "reason": "empty_answer"}]
    assert pq.read_schema(Store(tmp_path / "c").parts("traces")[0]).equals(TABLES["traces"])
