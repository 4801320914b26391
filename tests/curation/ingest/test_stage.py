"""Ingest, end to end: every row accounted for, once and for all."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.corpus.query import open_tables, select
from curation.corpus.store import Store
from curation.ingest import parts
from schemas.manifest import Manifest
from schemas.tables import TABLES
from tests.curation.ingest.files import SAMPLES, ingest, jsonl, table, tables, trace


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
    new = {"prompts": 2, "quarantine": 2, "memberships": 0, "traces": 3, "annotations": 0}
    assert first.summary["new"] == new
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


def test_the_tables_can_be_queried_as_the_command_line_does(tmp_path: Path) -> None:
    ingest(tmp_path / "c", jsonl(tmp_path / "a.jsonl", trace(1), trace(2, answer="")))
    rows = select(open_tables(Store(tmp_path / "c")), "select source_id, reason from quarantine").to_pylist()
    assert rows == [{"source_id": "t2", "reason": "empty_answer"}]
    assert pq.read_schema(Store(tmp_path / "c").parts("traces")[0]).equals(TABLES["traces"])
