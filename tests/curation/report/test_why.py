import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.corpus.store import Store
from curation.report import diff as difference
from curation.report import why as lineage
from schemas import DataError, InputFile, Manifest

RECIPE = "name: x\nparts:\n  a: {where: \"strategy = 'improved'\", take: 10}\n"


def test_why_names_file_line_annotations_and_the_part_that_took_it(build, filled, tmp_path: Path) -> None:
    _, rows = build(RECIPE)
    found = lineage.why(rows[0]["row_id"], filled.root, tmp_path / "mix")
    entry = found["traces"][0]
    assert found["row"]["trace_id"] == rows[0]["trace_id"]
    assert entry["trace"]["source_file"] == "test.jsonl"
    assert f"row-{entry['trace']['source_line'] - 1}" == rows[0]["source_id"]
    assert {a["annotator"] for a in entry["annotations"]} == {"rules@1"}
    assert entry["mix"] == [{"part": "a", "state": "kept"}]


def test_why_says_what_kept_a_trace_out(build, filled, tmp_path: Path) -> None:
    _, rows = build(RECIPE)
    taken = {row["source_id"] for row in rows}
    left = next(f"row-{n}" for n in range(30, 60) if f"row-{n}" not in taken)
    assert lineage.why(left, filled.root, tmp_path / "mix")["traces"][0]["mix"] == [
        {"part": "a", "state": "not drawn"}
    ]
    unmatched = lineage.why("row-0", filled.root, tmp_path / "mix")["traces"][0]["mix"]
    assert unmatched == [{"part": None, "state": "no part matches"}]


def test_why_masks_texts_unless_asked(filled) -> None:
    masked = json.dumps(lineage.why("row-0", filled.root))
    shown = json.dumps(lineage.why("row-0", filled.root, show=True))
    assert "Let me think" not in masked and "Question 0" not in masked
    assert "Let me think" in shown and "Question 0" in shown


def test_why_finds_quarantined_rows(filled) -> None:
    row = {"quarantine_id": "q", "stage": "ingest", "source_file": "f.jsonl", "source_line": 3, "source_id": "bad-1",
           "reason": "no_think", "detail": "no think block", "row": "{}"}  # fmt: skip
    filled.append_rows("quarantine", [row])
    assert lineage.why("bad-1", filled.root)["quarantined"][0]["source_line"] == 3


def test_why_of_an_unknown_id_says_what_to_try(filled) -> None:
    with pytest.raises(DataError, match=r"nope: no trace, row or quarantined row .* for a row_id, set --mix"):
        lineage.why("nope", filled.root)


def test_why_does_not_take_sql_from_an_id(filled) -> None:
    with pytest.raises(DataError):
        lineage.why("' or true --", filled.root)


def test_diff_counts_added_removed_and_recipe_changes(build, tmp_path: Path) -> None:
    build(RECIPE, "a")
    build(RECIPE.replace("10", "15").replace("improved", "default"), "b")
    build(RECIPE.replace("10", "12"), "c")
    nested = difference.diff(tmp_path / "a", tmp_path / "c")
    assert (nested["counts"]["added"], nested["counts"]["removed"]) == (2, 0)
    assert nested["recipe"] == {"parts.a.take": {"a": 10, "b": 12}}
    other = difference.diff(tmp_path / "a", tmp_path / "b")
    assert (other["counts"]["added"], other["counts"]["removed"], other["identical"]) == (15, 10, False)
    assert other["parts"] == {"a": {"a": 10, "b": 15}}


def test_diff_of_a_mix_with_itself_is_empty(build, tmp_path: Path) -> None:
    build(RECIPE)
    found = difference.diff(tmp_path / "mix", tmp_path / "mix")
    assert found["identical"] and not found["added"] and not found["recipe"]


def test_diff_sees_a_trace_that_moved_to_another_part(build, tmp_path: Path) -> None:
    build("name: x\nparts:\n  a: {where: kind = 'math'}\n", "a")
    build("name: x\nparts:\n  b: {where: kind = 'math'}\n", "b")
    found = difference.diff(tmp_path / "a", tmp_path / "b")
    assert found["counts"] == {"a": 20, "b": 20, "added": 0, "removed": 0, "moved": 20, "rejudged": 0}


def test_why_tells_the_clause_the_rows_and_the_reviewers(build, filled, tmp_path: Path) -> None:
    _, rows = build(RECIPE.replace("take: 10", "take: 40, repeat: 2"))
    trace_id = rows[0]["trace_id"]
    review = {"round": "r1", "trace_id": trace_id, "reviewer": "alice", "updated_at": "2026-01-01", "status": "submitted",
              "verdict": "keep", "patterns": [], "comment": "some secret words"}  # fmt: skip
    filled.append_rows("reviews", [review])
    found = lineage.why(trace_id, filled.root, tmp_path / "mix")
    entry = found["traces"][0]
    assert entry["reviews"][0]["reviewer"] == "alice" and "secret" not in json.dumps(found)
    assert entry["clauses"] == {"a": {"where": "strategy = 'improved'", "take": 40, "repeat": 2}}
    assert {row["row_id"] for row in entry["rows"]} == {
        row["row_id"] for row in rows if row["trace_id"] == trace_id
    }
    assert entry["prompt"][0]["category"] in ("privacy", "theft", "deception", None)


def test_why_finds_a_repeated_row_by_its_own_id(build, filled, tmp_path: Path) -> None:
    _, rows = build("name: x\nparts:\n  a: {where: kind = 'math', repeat: 2}\n")
    assert len({row["row_id"] for row in rows}) == 40 and len({row["trace_id"] for row in rows}) == 20
    assert all(
        lineage.why(row["row_id"], filled.root, tmp_path / "mix")["row"]["trace_id"] == row["trace_id"]
        for row in rows[:3]
    )


SAFE = "name: x\nparts:\n  a: {where: \"kind = 'harmful' and not weak_vacillation\"}\n"


def judge(corpus: Store, annotator: str, label: bool, source_ids: list[str]) -> None:
    ids = {
        row["trace_id"]
        for batch in corpus.scan("traces", ["trace_id", "source_id"])
        for row in batch.to_pylist()
        if row["source_id"] in source_ids
    }
    rows = [
        {"trace_id": id, "pattern": "weak_vacillation", "annotator": annotator, "label": label}
        for id in sorted(ids)
    ]
    corpus.append_rows("annotations", rows)


def test_diff_blames_a_verdict_on_the_annotator_that_changed_it(build, filled, tmp_path: Path) -> None:
    build(SAFE, "a")
    judge(filled, "judge:j@1", True, ["row-1", "row-2"])  # takes two out
    judge(filled, "judge:j@1", False, ["row-0"])  # lets one in
    build(SAFE, "b")
    found = difference.diff(tmp_path / "a", tmp_path / "b", filled.root)
    assert found["causes"]["removed"] == {"verdict": 2} and found["causes"]["added"] == {
        "annotator version": 1
    }
    assert found["reasons"]["removed"][0]["detail"] == "weak_vacillation false -> true by judge:j@1"
    assert "judge:j@1" in found["reasons"]["added"][0]["detail"]


def test_diff_knows_a_newer_version_of_an_annotator(build, filled, tmp_path: Path) -> None:
    build(SAFE, "a")
    judge(filled, "rules@2", True, ["row-1"])
    judge(filled, "rules@2", False, [f"row-{n}" for n in range(80) if n != 1 and n % 3])
    build(SAFE, "b")
    found = difference.diff(tmp_path / "a", tmp_path / "b", filled.root)
    assert found["counts"]["removed"] == 11  # row-1, and ten that version 2 has not seen
    causes = {reason["detail"]: reason["cause"] for reason in found["reasons"]["removed"]}
    assert (
        causes["weak_vacillation false -> true by rules@2, newer than " + str(tmp_path / "a")]
        == "annotator version"
    )
    assert "rules@2" in json.dumps(found["annotators"])


def test_diff_knows_new_data_by_its_file(build, filled, tmp_path: Path) -> None:
    def ingested(name: str) -> None:
        filled.write_manifest(Manifest(stage="ingest", inputs=[InputFile(name=name, blake2b="0")]))

    recipe = "name: x\nparts:\n  a: {where: kind = 'math'}\n"
    ingested("test.jsonl")
    build(recipe, "a")
    ingested("more.jsonl")
    trace = {"trace_id": "n", "prompt_id": "p", "prompt": "q", "kind": "math", "reasoning": "r", "answer": "a",
             "sample_index": 0, "source_file": "more.jsonl"}  # fmt: skip
    filled.append_rows("traces", [trace])
    build(recipe, "b")
    found = difference.diff(tmp_path / "a", tmp_path / "b", filled.root)
    assert found["reasons"]["added"] == [
        {"trace_id": "n", "cause": "new data", "detail": "more.jsonl was ingested between the two builds"}
    ]


def test_diff_names_the_clause_and_what_the_other_recipe_says(build, filled, tmp_path: Path) -> None:
    build(RECIPE, "a")
    build(RECIPE.replace("10", "12"), "b")
    for corpus in (filled.root, None):
        found = difference.diff(tmp_path / "a", tmp_path / "b", corpus)
        assert found["causes"]["added"] == {"recipe": 2}
        assert "parts.a.take: 10 -> 12" in found["reasons"]["added"][0]["detail"]
    sharp = difference.diff(tmp_path / "a", tmp_path / "b", filled.root)
    assert "not drawn (part a)" in sharp["reasons"]["added"][0]["detail"]


def test_diff_says_when_a_trace_is_gone(build, filled, tmp_path: Path) -> None:
    build("name: x\nparts:\n  a: {where: kind = 'math'}\n", "a")
    build("name: x\nparts:\n  a: {where: kind = 'math', take: 5}\n", "b")
    (part,) = filled.parts("traces")
    rows = pq.read_table(part)
    part.unlink()
    filled.append("traces", rows.slice(0, 60))
    assert difference.diff(tmp_path / "a", tmp_path / "b", filled.root)["causes"]["removed"] == {"gone": 15}


def test_numbers_of_diff_card_and_parts_agree_with_a_validation_split_and_repeats(
    build, tmp_path: Path
) -> None:
    text = "name: x\nvalidation: 0.3\nparts:\n  a: {where: kind = 'harmful', take: 90, repeat: 2}\n  b: {where: kind = 'math'}\n"
    manifest, _ = build(text, "one")
    build(text.replace("take: 90", "take: 70"), "two")
    found = difference.diff(tmp_path / "one", tmp_path / "two")
    summary = manifest.summary
    taken = sum(part["kept"] for part in summary["parts"].values())
    assert found["counts"]["a"] == taken == summary["rows"] + summary["validation_rows"]
    assert (
        found["parts"]["a"]["a"] - found["parts"]["a"]["b"] == found["counts"]["a"] - found["counts"]["b"] > 0
    )
    card = (tmp_path / "one" / "README.md").read_text()
    assert f"{summary['rows']} rows and {summary['validation_rows']} for validation" in card
    assert "Taken are rows of both splits" in card
