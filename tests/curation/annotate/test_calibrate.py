"""`curate calibrate` and `curate agree` over a corpus."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from curation.annotate import agree, calibrate
from curation.annotate.agree import AgreeRecipe
from curation.annotate.calibrate import CalibrateRecipe
from curation.corpus.query import connect, open_tables, select
from curation.corpus.store import Store
from schemas.errors import RecipeError, UsageError
from schemas.manifest import Manifest
from tests.command_line import curate

PATTERN = "weak_vacillation"


@pytest.fixture
def reviewed(corpus: Store) -> Store:
    """400 traces with an eager scorer and a judge without scores; people saw every second one."""
    dice = random.Random(2)
    fixed = {"prompt": "?", "reasoning": "r", "answer": "a", "sample_index": 0}
    traces, rows = [], []
    for n in range(400):
        trace = f"t{n:03}"
        traces.append({"trace_id": trace, "prompt_id": f"p{n % 100}", **fixed})
        truth = dice.random() < 0.3
        score = min(1.0, max(0.0, dice.gauss(0.7 if truth else 0.4, 0.12)))
        said: list[tuple[str, bool | None, float | None]] = [("embedding:x@1", score > 0.3, score)]
        said.append(
            ("judge:m@1.0", None if n % 10 == 0 else truth if dice.random() < 0.9 else not truth, None)
        )
        if n % 2 == 0:
            said += [
                ("human:ann", truth, None),
                ("human:bob", truth if dice.random() < 0.9 else not truth, None),
            ]
        rows += [
            {"trace_id": trace, "pattern": PATTERN, "annotator": who, "label": label, "score": score}
            for who, label, score in said
        ]
    corpus.append_rows("traces", traces)
    corpus.append_rows("annotations", rows)
    return corpus


def one(found: Manifest, annotator: str) -> dict:
    listed: Any = found.summary["annotators"]
    return next(entry for entry in listed if entry["annotator"] == annotator)


def labelled_true(corpus: Store) -> int:
    query = "select count_if(label) as n from current_annotations where name = 'embedding:x'"
    return select(connect(corpus), query)["n"].to_pylist()[0]


def test_a_threshold_for_a_wanted_precision_decides_labels_from_then_on(reviewed: Store) -> None:
    before = labelled_true(reviewed)
    found = calibrate.run(reviewed.root, CalibrateRecipe(precision=0.85))
    mine = one(found, "embedding:x@1")
    assert mine["precision"]["value"] >= 0.85 and mine["held_out"]["precision"]["value"] > 0.7
    assert mine["threshold"] > 0.45 and labelled_true(reviewed) < before / 2
    # Every trace's label follows the score now, those that nobody reviewed too.
    query = (
        "select count(*) as n from current_annotations where name = 'embedding:x' and label <> (score >= {})"
    )
    assert select(connect(reviewed), query.format(f"{mine['threshold']}::float"))["n"].to_pylist() == [0]


def test_an_annotator_without_scores_is_measured_and_keeps_its_labels(reviewed: Store) -> None:
    judge = one(calibrate.run(reviewed.root, CalibrateRecipe()), "judge:m@1.0")
    assert judge["threshold"] is None and judge["held_out"] is None and judge["reliability"] == []
    assert 0.5 < judge["precision"]["low"] < judge["precision"]["value"] < 1
    assert judge["abstained"] > 0 and judge["traces"] + judge["abstained"] <= 200


def test_the_same_calibration_again_is_no_new_version_and_measures_raw_labels(reviewed: Store) -> None:
    first = calibrate.run(reviewed.root, CalibrateRecipe(precision=0.85))
    assert (
        calibrate.run(reviewed.root, CalibrateRecipe(precision=0.85)) == first
        and first.summary["version"] == 1
    )
    second = calibrate.run(reviewed.root, CalibrateRecipe(annotators=("embedding:x",)))
    assert second.summary["version"] == 2 and second.summary["target"] == "macro-f1"
    assert calibrate.run(reviewed.root, CalibrateRecipe(precision=0.85)).summary["version"] == 3
    kept = select(open_tables(reviewed), "select * from calibrations").to_pylist()
    assert sorted({row["version"] for row in kept}) == [1, 2, 3]


def test_precision_is_told_for_the_corpus_and_not_for_a_label_set_that_is_richer(reviewed: Store) -> None:
    dice = random.Random(3)
    fixed = {"prompt": "?", "reasoning": "r", "answer": "a", "sample_index": 0}
    clean = [f"c{n:04}" for n in range(2000)]
    reviewed.append_rows("traces", [{"trace_id": trace, "prompt_id": trace, **fixed} for trace in clean])
    scores = {trace: min(1.0, max(0.0, dice.gauss(0.4, 0.12))) for trace in clean}
    reviewed.append_rows(
        "annotations",
        [
            {
                "trace_id": trace,
                "pattern": PATTERN,
                "annotator": "embedding:x@1",
                "label": score > 0.3,
                "score": score,
            }
            for trace, score in scores.items()
        ],
    )
    mine = one(calibrate.run(reviewed.root, CalibrateRecipe()), "embedding:x@1")
    assert mine["why"] == "accepted" and mine["in_corpus"]["traces"] == 2400
    assert mine["in_corpus"]["prevalence"] == pytest.approx(120 / 2400, abs=0.03)
    assert mine["in_corpus"]["precision"] < mine["precision"]["value"] - 0.2


def test_labels_of_a_disputed_queue_are_told_and_set_no_threshold(reviewed: Store) -> None:
    tasks = [
        {"round": "r", "trace_id": f"t{n:03}", "position": n, "reason": "disagreement", "blind": False}
        for n in range(0, 400, 2)
    ]
    reviewed.append_rows("review_tasks", tasks)
    found = calibrate.run(reviewed.root, CalibrateRecipe())
    assert "come from a disputed queue" in found.summary["warnings"][0]
    mine = one(found, "embedding:x@1")
    assert (mine["threshold"], mine["why"]) == (None, "nearly all labels are of disputed traces")


def test_people_must_have_judged_something(corpus: Store) -> None:
    with pytest.raises(RecipeError, match="no trace is labelled by people and by any annotator"):
        calibrate.run(corpus.root, CalibrateRecipe())


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (CalibrateRecipe(annotators=("judge:n",)), "no labels by 'judge:n'; did you mean 'judge:m'"),
        (CalibrateRecipe(patterns=("inconsistent",)), "did you mean 'inconsistency'"),
    ],
)
def test_unknown_names_are_wrong_usage(reviewed: Store, recipe: CalibrateRecipe, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        calibrate.run(reviewed.root, recipe)


def test_agreement_between_any_annotators_people_included(reviewed: Store) -> None:
    found = agree.read(
        reviewed.root, AgreeRecipe(annotators=("human:ann", "human:bob", "judge:m"), patterns=(PATTERN,))
    )
    of_pattern = found[PATTERN]
    assert of_pattern.alpha.low < of_pattern.alpha.value < of_pattern.alpha.high
    assert of_pattern.alpha.traces == 200 and of_pattern.fleiss.traces == 160
    assert [pair.between for pair in of_pattern.pairs] == [
        ("human:ann", "human:bob"), ("human:ann", "judge:m"), ("human:bob", "judge:m"),
    ]  # fmt: skip
    assert all(0.5 < pair.cohen.value < 0.95 and pair.same > 0.8 for pair in of_pattern.pairs)


def test_people_may_be_taken_together(reviewed: Store) -> None:
    [pair] = agree.read(
        reviewed.root, AgreeRecipe(annotators=("people", "embedding:x"), patterns=(PATTERN,))
    )[PATTERN].pairs
    assert pair.between == ("people", "embedding:x") and 100 < pair.cohen.traces < 200  # ties are no label


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (AgreeRecipe(annotators=("people", "rules")), "no labels by rules"),
        (AgreeRecipe(annotators=("people",), patterns=(PATTERN,)), "agreement needs two annotators"),
        (AgreeRecipe(patterns=("vagueness",)), "unknown pattern vagueness"),
    ],
)
def test_faults_of_agree_are_explained(reviewed: Store, recipe: AgreeRecipe, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        agree.read(reviewed.root, recipe)


def test_on_the_command_line(reviewed: Store, tmp_path: Path) -> None:
    where = ("--corpus", str(reviewed.root))
    agreed = curate("agree", "--patterns", PATTERN, "--json", *where, cwd=tmp_path)
    assert len(json.loads(agreed.stdout)[PATTERN]["pairs"]) == 6
    shown = curate("agree", *where, cwd=tmp_path)
    assert shown.returncode == 0 and "cohen" in shown.stdout
    calibrated = curate("calibrate", "--precision", "0.85", "--json", *where, cwd=tmp_path)
    assert json.loads(calibrated.stdout)["summary"]["target"] == "precision>=0.85"
    shown = curate("calibrate", *where, cwd=tmp_path, COLUMNS="160")
    assert shown.returncode == 0 and "embedding:x@1" in shown.stdout and "version 2" in shown.stderr
