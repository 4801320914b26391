"""Rounds as Label Studio's JSON: out, as its page would give them back, and in."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.review import exchange, ledger
from curation.review.formats import label_studio
from curation.review.reviews import Mark
from curation.review.rounds import RoundRecipe
from schemas import RISKY_PATTERNS
from tests.curation.review.conftest import added

WEAK = "weak_vacillation"
TEXT = "A 😀 voice\r\nand 𝐓𝐡𝐞 <b>permit</b>"
ROUND = RoundRecipe(name="r", blind=0)


@pytest.fixture
def exported(corpus_of, tmp_path: Path) -> tuple[Store, Path]:
    start = TEXT.index("permit")
    machine = {
        "trace_id": "t0", "pattern": WEAK, "annotator": "rules@1", "label": True, "score": 0.9,
        "spans": [{"field": "reasoning", "start": start, "end": start + 6}],
    }  # fmt: skip
    corpus = corpus_of([{"reasoning": TEXT, "answer": "No."}, {"reasoning": "plain"}], [machine])
    exchange.export(corpus.root, ROUND, tmp_path / "tasks.json", tool="label-studio")
    return corpus, tmp_path / "tasks.json"


def region(start: int, end: int, text: str, field: str = "reasoning") -> dict:
    value = {"start": start, "end": end, "text": text, "labels": [WEAK]}
    return {"from_name": f"{field}_spans", "to_name": field, "type": "labels", "value": value}


def finished(path: Path, *regions: dict, **more: object) -> Path:
    """The first task as the tool exports it once ann has labelled it."""
    tasks = json.loads(path.read_text(encoding="utf-8"))
    (task,) = [task for task in tasks if task["data"]["trace_id"] == "t0"]
    result = [
        {"from_name": "patterns", "to_name": "reasoning", "type": "choices", "value": {"choices": [WEAK]}},
        {"from_name": "verdict", "to_name": "reasoning", "type": "choices", "value": {"choices": ["repair"]}},
        {"from_name": "comment", "to_name": "reasoning", "type": "textarea", "value": {"text": ["keeps on"]}},
        *regions,
    ]  # fmt: skip
    task["annotations"] = [{"completed_by": {"id": 3, "email": "ann@lab"}, "result": result, **more}]
    path.write_text(json.dumps(tasks))
    return path


def test_a_task_has_the_texts_and_the_suggestions_in_the_units_of_the_page(exported) -> None:
    task = next(task for task in json.loads(exported[1].read_text()) if task["data"]["trace_id"] == "t0")
    assert task["data"]["reasoning"] == TEXT and task["annotations"] == []
    patterns, mark = task["predictions"][0]["result"]
    assert patterns["value"] == {"choices": [WEAK]}
    units = TEXT.encode("utf-16-le")
    start, end = mark["value"]["start"], mark["value"]["end"]
    assert units[2 * start : 2 * end].decode("utf-16-le") == mark["value"]["text"] == "permit"


@pytest.mark.parametrize("units", ["code points", "UTF-16"])
def test_a_region_is_read_in_the_units_in_which_it_cuts_its_words(exported, units: str) -> None:
    corpus, path = exported
    at = TEXT.index("permit")
    shift = 4 if units == "UTF-16" else 0  # an emoji and three mathematical letters before it
    done = exchange.run(corpus.root, finished(path, region(at + shift, at + shift + 6, "permit")), round="r")
    assert (done.counts.kept, done.counts.filtered, *added(done)) == (1, {"no review yet": 1}, 1, 5)
    (review,) = ledger.load(corpus)
    assert review.spans == (Mark(WEAK, "reasoning", at, at + 6),)
    assert (review.reviewer, review.verdict, review.comment) == ("ann_at_lab", "repair", "keeps on")
    label = "select label from verdicts where trace_id = 't0' and pattern = 'weak_vacillation'"
    assert connect(corpus).execute(label).fetchall() == [(True,)]


def test_what_was_imported_comes_out_again_and_goes_in_without_a_change(exported) -> None:
    corpus, path = exported
    at = TEXT.index("permit")
    file = finished(path, region(at, at + 6, "permit"), updated_at="2026-01-01T10:00:00Z")
    exchange.run(corpus.root, file, round="r")
    exchange.export(corpus.root, ROUND, path, tool="label-studio")
    again = exchange.run(corpus.root, path, round="r")
    assert added(again) == (0, 0) and again.counts.kept == 1


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"data": {"text": "x"}}, "not a task with data.trace_id"),
        ({"data": {"trace_id": "t0"}, "annotations": "x"}, "annotations is not a list"),
        ({"data": {"trace_id": "t9"}, "annotations": [{"result": []}]}, "is not in this round"),
    ],
)
def test_what_is_no_task_of_the_round_is_set_aside_with_its_place(exported, tmp_path, task, reason) -> None:
    corpus, _ = exported
    (tmp_path / "in.json").write_text(json.dumps([task]))
    done = exchange.run(corpus.root, tmp_path / "in.json", round="r")
    assert done.counts.quarantined == {"unreadable review": 1} and done.counts.balance == 0
    detail = connect(corpus).execute("select source_line, detail from quarantine").fetchone()
    assert detail[0] == 1 and reason in detail[1]


def test_a_region_that_quotes_other_words_is_set_aside(exported) -> None:
    corpus, path = exported
    done = exchange.run(corpus.root, finished(path, region(0, 6, "permit")), round="r")
    assert done.counts.quarantined == {"unreadable review": 1} and ledger.load(corpus) == []


def test_the_labelling_interface_is_xml_that_names_every_pattern() -> None:
    tree = ElementTree.fromstring(label_studio.interface())
    choices = {element.attrib["value"] for element in tree.iter("Choice")}
    assert set(RISKY_PATTERNS) < choices and {"none", "keep", "repair", "drop", "unsure"} < choices
    assert [element.attrib["value"] for element in tree.iter("Text")] == ["$prompt", "$answer", "$reasoning"]


def test_a_graded_entry_that_was_cleared_on_the_page_is_left_open() -> None:
    cleared, empty = ({"from_name": "value-clerk_tone", "value": value} for value in ({"choices": []}, {}))
    given = {"from_name": "value-clerk_risk", "value": {"number": 0.5}}
    task = {"data": {"trace_id": "t0"}, "annotations": [{"result": [cleared, empty, given]}]}
    (review,) = label_studio.reviews(task)
    assert review["values"] == [{"pattern": "clerk_risk", "value": 0.5}]
