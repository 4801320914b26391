import json
from pathlib import Path

import pytest

from curation import lineage
from schemas import DataError

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
    with pytest.raises(DataError, match=r"nope: no trace, row or quarantined row .* name its mix with --mix"):
        lineage.why("nope", filled.root)


def test_why_does_not_take_sql_from_an_id(filled) -> None:
    with pytest.raises(DataError):
        lineage.why("' or true --", filled.root)


def test_diff_counts_added_removed_and_recipe_changes(build, tmp_path: Path) -> None:
    build(RECIPE, "a")
    build(RECIPE.replace("10", "15").replace("improved", "default"), "b")
    build(RECIPE.replace("10", "12"), "c")
    nested = lineage.diff(tmp_path / "a", tmp_path / "c")
    assert (nested["counts"]["added"], nested["counts"]["removed"]) == (2, 0)
    assert nested["recipe"] == {"parts.a.take": {"a": 10, "b": 12}}
    other = lineage.diff(tmp_path / "a", tmp_path / "b")
    assert (other["counts"]["added"], other["counts"]["removed"], other["identical"]) == (15, 10, False)
    assert other["parts"] == {"a": {"a": 10, "b": 15}}


def test_diff_of_a_mix_with_itself_is_empty(build, tmp_path: Path) -> None:
    build(RECIPE)
    found = lineage.diff(tmp_path / "mix", tmp_path / "mix")
    assert found["identical"] and not found["added"] and not found["recipe"]


def test_diff_sees_a_trace_that_moved_to_another_part(build, tmp_path: Path) -> None:
    build("name: x\nparts:\n  a: {where: kind = 'math'}\n", "a")
    build("name: x\nparts:\n  b: {where: kind = 'math'}\n", "b")
    found = lineage.diff(tmp_path / "a", tmp_path / "b")
    assert found["counts"] == {"a": 20, "b": 20, "added": 0, "removed": 0, "moved": 20, "rejudged": 0}
