import json
from pathlib import Path

import pytest

from annotators.benchmark import Labelled, edits
from annotators.benchmark.edits import Edit, edited, load, rows, star1, untouched
from annotators.benchmark.labelled import load_folder
from schemas.errors import DataError
from schemas.patterns import RISKY_PATTERNS
from schemas.trace import Trace

REASONING_PATTERNS = RISKY_PATTERNS[:4]


@pytest.fixture(scope="module")
def sources(shared_data: Path) -> dict[str, Trace]:
    return star1(shared_data / "star1.json")


def test_edits_are_made_at_their_places_in_the_source() -> None:
    made = [
        Edit(field="reasoning", start=0, end=0, text="Well. "),
        Edit(field="answer", start=0, end=2, text="Yes"),
        Edit(field="reasoning", start=3, end=6, text="TWO"),
    ]
    assert edited("one two", made, "reasoning") == "Well. oneTWOo"
    assert edited("No.", made, "answer") == "Yes."


def test_all_rows_can_be_put_together(sources: dict[str, Trace]) -> None:
    loaded = load(sources)
    assert not loaded.skipped
    assert len(loaded.items) == sum(1 for hand in edits.hands() for _ in rows(hand)) > 1000
    assert len({item.trace.source_id for item in loaded.items}) == len(loaded.items)


def test_labels_and_evidence_of_every_row_fit_the_codebook(sources: dict[str, Trace]) -> None:
    for item in load(sources).items:
        assert faults(item) == [], item.trace.source_id


def faults(item: Labelled) -> list[str]:
    true = {name for name in RISKY_PATTERNS if item.labels[name]}
    found = []
    needed = set() if item.style == "untouched" else true - {"lack_of_safety_awareness"}
    if not needed <= set(item.evidence) <= true:
        found.append("evidence for other patterns than those that are true")
    if "lack_of_safety_awareness" in true and true & set(REASONING_PATTERNS[1:]):
        found.append("patterns that exclude each other")
    if item.trace.kind == "benign" and true & set(REASONING_PATTERNS):
        found.append("a benign query with a pattern of harmful ones")
    for name, quotes in item.evidence.items():
        texts = (item.trace.reasoning, item.trace.answer)[: 2 if name == "inconsistency" else 1]
        if not all(quote and any(quote in text for text in texts) for quote in quotes):
            found.append(f"evidence of {name} that is not in the text")
    return found


def test_without_star1_rows_written_anew_remain_and_the_others_are_counted() -> None:
    loaded = load({})
    assert 0 < len(loaded.items) < sum(loaded.skipped.values())
    assert list(loaded.skipped) == ["its source is not among the traces of STAR-1 that were given"]


def test_another_edition_of_a_source_is_noticed(sources: dict[str, Trace]) -> None:
    row = next(row for row in rows("t1") if row.source_id)
    assert row.source_id
    other = sources[row.source_id].model_copy(update={"answer": "Something else."})
    assert (
        "its source reads otherwise in this edition of STAR-1" in load({row.source_id: other}, "t1").skipped
    )


def test_the_files_hold_no_long_piece_of_a_source(sources: dict[str, Trace]) -> None:
    for hand in edits.hands():
        for row in rows(hand):
            if row.source_id:
                source = sources[row.source_id]
                for edit in row.edits:
                    assert copied(edit.text, getattr(source, edit.field)) < 120, row.id


def copied(text: str, source: str) -> int:
    """The longest stretch of 20 or more code points that both share, about."""
    longest = 0
    for start in range(0, max(0, len(text) - 20), 10):
        size = 20
        while start + size <= len(text) and text[start : start + size] in source:
            longest, size = size, size + 10
    return longest


def test_untouched_traces_to_learn_from_decide_on_and_measure_are_apart(sources: dict[str, Trace]) -> None:
    parts = [{t.source_id for t in part} for part in untouched(sources)]
    learned, decided, measured = parts
    held = {row.source_id for hand in edits.HELD_OUT for row in rows(hand)} - {None}
    used = {row.source_id for hand in edits.hands() for row in rows(hand)}
    assert len(learned | decided | measured) == sum(map(len, parts)) <= len(sources)
    assert measured == held and len(measured) > 50 and not decided & used


@pytest.mark.parametrize("text", ["", "[1, 2]", '[{"id": "1"}]'])
def test_a_file_that_is_not_star1_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "star1.json").write_text(text)
    with pytest.raises(DataError, match="STAR-1"):
        star1(tmp_path / "star1.json")


def test_a_folder_of_full_rows_is_read_and_faults_name_their_line(tmp_path: Path) -> None:
    row = {
        "id": "a-1",
        "source_id": 7,
        "hand": "a",
        "kind": "harmful",
        "prompt": "p",
        "reasoning": "r",
        "answer": "a",
    }
    row |= {"labels": dict.fromkeys(RISKY_PATTERNS, False), "evidence": {}, "style": "negative", "note": "x"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    (item,) = load_folder(tmp_path)
    assert (item.source, item.batch, item.hard_negative) == ("7", "a", True)
    (tmp_path / "b.jsonl").write_text(json.dumps(row) + "\n{}\n")
    with pytest.raises(DataError, match=r"b\.jsonl:2"):
        load_folder(tmp_path)


def test_a_folder_without_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \.jsonl file"):
        load_folder(tmp_path)
