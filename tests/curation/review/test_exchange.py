"""Rounds as files: out, into another tool, and back, with nothing lost and nothing twice."""

import json
import re
from pathlib import Path

import pytest

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.review import exchange
from curation.review.rounds import RoundRecipe
from schemas import CorpusError, DataError
from tests.curation.review.conftest import added

WEAK = "weak_vacillation"
ROUND = RoundRecipe(name="r", blind=0)


@pytest.fixture
def exported(corpus_of, tmp_path: Path) -> tuple[Store, Path]:
    spans = [{"field": "reasoning", "start": 2, "end": 3}]
    machine = {
        "trace_id": "t0",
        "pattern": WEAK,
        "annotator": "rules@1",
        "label": True,
        "score": 0.9,
        "spans": spans,
    }
    corpus = corpus_of(
        [{"reasoning": "A 😀 voice\r\n<b>", "answer": "No."}, {"reasoning": "plain"}], [machine]
    )
    exchange.export(corpus.root, ROUND, tmp_path / "out.jsonl")
    return corpus, tmp_path / "out.jsonl"


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def review(**more: object) -> dict:
    return {"trace_id": "t0", "reviewer": "ann", "patterns": [WEAK], "verdict": "repair"} | more


def test_a_line_holds_the_exact_text_with_suggestions(exported) -> None:
    rows = {row["trace_id"]: row for row in lines(exported[1])}
    assert rows["t0"]["reasoning"] == "A 😀 voice\r\n<b>"
    assert rows["t0"]["suggested_spans"] == [{"pattern": WEAK, "field": "reasoning", "start": 2, "end": 3}]
    assert [(s["pattern"], s["label"]) for s in rows["t0"]["suggested"]] == [(WEAK, True)]
    assert rows["t1"]["suggested"] == [] and rows["t1"]["reviews"] == []


def test_blind_lines_hold_no_suggestion(exported, tmp_path: Path) -> None:
    exchange.export(exported[0].root, RoundRecipe(name="blind", blind=1), tmp_path / "blind.jsonl")
    assert all(
        row["blind"] and not row["suggested"] and not row["suggested_spans"]
        for row in lines(tmp_path / "blind.jsonl")
    )


def test_an_imported_review_becomes_annotations_with_its_offsets(exported, tmp_path: Path) -> None:
    corpus, _ = exported
    mark = {"pattern": WEAK, "field": "reasoning", "start": 4, "end": 9}
    done = exchange.run(
        corpus.root, round="r", file=write(tmp_path / "in.jsonl", review(spans=[mark], comment="why"))
    )
    assert (done.counts.kept, *added(done)) == (1, 1, 5)
    query = "select spans, rationale from annotations where annotator = 'human:ann' and label"
    (row,) = connect(corpus).execute(query).fetchall()
    assert row == ([{"field": "reasoning", "start": 4, "end": 9}], "why")
    assert "A 😀 voice"[4:9] == "voice"


def test_importing_a_file_twice_changes_nothing_and_an_edit_makes_a_version(exported, tmp_path: Path) -> None:
    corpus, _ = exported
    file = write(tmp_path / "in.jsonl", review(), review(reviewer="bob", patterns=["none"]))
    assert added(exchange.run(corpus.root, round="r", file=file)) == (2, 10)
    assert added(exchange.run(corpus.root, round="r", file=file)) == (0, 0)
    assert added(exchange.run(corpus.root, round="r", file=write(file, review(patterns=["none"])))) == (1, 5)
    names = connect(corpus).execute(
        "select distinct annotator from annotations where annotator like 'human:%' order by 1"
    )
    assert names.fetchall() == [("human:ann",), ("human:ann@2",), ("human:bob",)]


def test_what_was_imported_comes_out_again_and_goes_into_another_corpus(
    exported, corpus_of, tmp_path: Path
) -> None:
    corpus, out = exported
    exchange.run(
        corpus.root,
        round="r",
        file=write(tmp_path / "in.jsonl", review(comment="why", updated_at="2026-01-01T10:00:00Z")),
    )
    exchange.export(corpus.root, ROUND, out)
    (given,) = next(row for row in lines(out) if row["trace_id"] == "t0")["reviews"]
    assert (given["reviewer"], given["patterns"], given["comment"]) == ("ann", [WEAK], "why")
    assert added(exchange.run(corpus.root, round="r", file=out)) == (0, 0)
    again = exchange.run(corpus.root, round="r", file=out).counts
    assert (again.rows, again.kept, again.filtered) == (2, 1, {"no review yet": 1})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{not json", "Expecting property name"),
        ([1], "not a JSON object"),
        (review(trace_id="t99"), "trace 't99' is not in this round"),
        (review(patterns=["vacillation"]), "unknown pattern vacillation"),
        (review(spans=[{"pattern": WEAK, "field": "reasoning", "start": 5, "end": 500}]), r"\[5, 500\) are outside of the reasoning"),
        (review(spans=[{"pattern": WEAK, "field": "prompt", "start": 0, "end": 1}]), "spans.0.field"),
        ({"trace_id": "t0", "patterns": []}, "reviewer: this field is required"),
    ],
)  # fmt: skip
def test_a_bad_line_is_set_aside_with_its_place_and_reason_and_the_good_go_on(
    exported, tmp_path, row, reason
) -> None:
    corpus, _ = exported
    file = write(tmp_path / "in.jsonl", row, review())
    done = exchange.run(corpus.root, round="r", file=file)
    assert (done.counts.kept, done.counts.quarantined) == (1, {"unreadable review": 1})
    assert done.counts.balance == 0
    place = connect(corpus).execute("select source_file, source_line, detail from quarantine").fetchall()
    assert place[0][:2] == ("in.jsonl", 1)
    assert re.search(reason, place[0][2])


def test_a_file_that_is_no_text_and_a_round_that_is_not_there_are_told(exported, tmp_path: Path) -> None:
    corpus, _ = exported
    (tmp_path / "in.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"in\.bin: byte 0 is not UTF-8"):
        exchange.run(corpus.root, round="r", file=tmp_path / "in.bin")
    with pytest.raises(CorpusError, match='no review round "s"'):
        exchange.run(corpus.root, round="s", file=tmp_path / "in.bin")


def test_a_review_without_a_time_follows_the_known_one_though_the_clock_was_set_back(
    exported, tmp_path: Path
) -> None:
    root = exported[0].root
    exchange.run(root, round="r", file=write(tmp_path / "a.jsonl", review(updated_at="2999-01-01T00:00:00Z")))
    exchange.run(root, round="r", file=write(tmp_path / "b.jsonl", review(patterns=["none"])))
    exchange.run(root, round="r", file=write(tmp_path / "b.jsonl", review(patterns=["none"])))
    rows = connect(exported[0]).sql("from reviews order by updated_at").to_arrow_table().to_pylist()
    assert [row["patterns"] for row in rows] == [[WEAK], ["none"]]
    label = "select label from verdicts where trace_id = 't0' and pattern = 'weak_vacillation'"
    assert connect(exported[0]).execute(label).fetchall() == [(False,)]
