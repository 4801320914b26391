"""Annotations in files: evidence in words, traces by source, and verdicts that stay."""

from pathlib import Path
from typing import Any

import pytest

from tests.curation.ingest.files import ingest, jsonl, table, trace, verdict


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
