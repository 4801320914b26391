"""Consensus policies over a corpus; tests/annotators/statistics/test_consensus.py has the estimates themselves."""

import json
import random
from typing import get_args

import pytest

from curation.corpus import status
from curation.corpus.query import connect, of_trace, select
from curation.corpus.store import Store
from schemas.choices import Policy
from tests.curation.test_cli import curate

POLICIES = get_args(Policy)
SKILLS = {"judge:m@1": 0.95, "embedding:a@1": 0.85, "embedding:b@1": 0.75, "rules@1": 0.6}
PATTERNS = ("weak_vacillation", "inconsistency", "unsafe")


def annotation(
    trace: str, pattern: str, annotator: str, label: bool | None, score: float | None = None
) -> dict:
    return {"trace_id": trace, "pattern": pattern, "annotator": annotator, "label": label, "score": score}


def add_traces(corpus: Store, ids: list[str]) -> None:
    fixed = {"prompt_id": "p", "prompt": "?", "reasoning": "r", "answer": "a", "sample_index": 0}
    corpus.append_rows("traces", [{"trace_id": trace, **fixed} for trace in ids])


@pytest.fixture
def judged(corpus: Store) -> Store:
    """300 traces, three patterns, annotators of known skill who sometimes abstain, and people on every fifth trace."""
    dice = random.Random(5)
    ids = [f"t{n:03}" for n in range(300)]
    add_traces(corpus, ids)
    rows = []
    for trace in ids:
        for pattern in PATTERNS:
            truth = dice.random() < 0.3
            for name, skill in SKILLS.items():
                label = truth if dice.random() < skill else not truth
                score = round(dice.uniform(0.5, 1) if label else dice.uniform(0, 0.5), 3)
                spoken = dice.random() < 0.8
                rows.append(
                    annotation(
                        trace,
                        pattern,
                        name,
                        label if spoken else None,
                        score if dice.random() < 0.5 else None,
                    )
                )
            if pattern != "unsafe" and int(trace[1:]) % 5 == 0:
                rows.append(annotation(trace, pattern, "human:ann", truth))
                rows.append(
                    annotation(trace, pattern, "human:bob", truth if dice.random() < 0.9 else not truth)
                )
    corpus.append_rows("annotations", rows)
    return corpus


def calibrate(corpus: Store, version: int, annotator: str, pattern: str, threshold: float | None) -> None:
    counts = dict.fromkeys(
        ("traces", "true_positives", "false_positives", "false_negatives", "true_negatives"), 1
    )
    row = {
        "calibration_id": str(version),
        "version": version,
        "annotator": annotator,
        "pattern": pattern,
        "codebook": 1,
        "target": "f1",
        "threshold": threshold,
    }
    corpus.append_rows("calibrations", [row | counts])


def only(corpus: Store, policy: Policy = "ranked") -> tuple:
    [row] = select(
        connect(corpus, policy=policy), "select label, score, provenance from verdicts"
    ).to_pylist()
    return row["label"], row["score"], row["provenance"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("calibrated", [False, True])
def test_verdicts_and_candidates_say_the_same(judged: Store, policy: Policy, calibrated: bool) -> None:
    if calibrated:
        calibrate(judged, 1, "embedding:a@1", "weak_vacillation", 0.8)
    connection = connect(judged, policy=policy)
    for pattern in PATTERNS:
        query = f"""select count(*) as n, count(v.label) as known, count_if(v.label is distinct from c.{pattern}
            or abs(v.score - c.{pattern}_score) > 1e-5 or (v.score is null) <> (c.{pattern}_score is null)) as differ
            from verdicts v join candidates c using (trace_id) where pattern = '{pattern}'"""
        [row] = select(connection, query).to_pylist()
        assert row["differ"] == 0 and row["n"] == 300 and row["known"] > 200


@pytest.mark.parametrize("policy", POLICIES)
def test_people_have_the_last_word_under_every_policy(judged: Store, policy: Policy) -> None:
    query = """select count(*) as n from verdicts v join (
        select trace_id, pattern, any_value(label) as label from current_annotations where rank = 0
        group by all having min(label) = max(label)) p using (trace_id, pattern) where v.label is distinct from p.label"""
    assert select(connect(judged, policy=policy), query)["n"].to_pylist() == [0]


def test_weighing_is_right_more_often_than_the_majority(judged: Store) -> None:
    # The strongest annotator by rank is the most skilled here too, so `ranked` is a bar of its own.
    def right(policy: Policy) -> int:
        query = """select count_if(v.label = j.label) as n from verdicts v
            join annotations j using (trace_id, pattern) where j.annotator = 'judge:m@1' and v.pattern <> 'unsafe'"""
        return select(connect(judged, policy=policy), query)["n"].to_pylist()[0]

    assert right("weighted") > right("majority") and right("dawid_skene") > right("majority")


def test_the_majority_lets_rules_outvote_a_judge(corpus: Store) -> None:
    add_traces(corpus, ["t"])
    corpus.append_rows(
        "annotations",
        [
            annotation("t", "unsafe", name, name != "judge:m@1")
            for name in ("judge:m@1", "embedding:a@1", "rules@1")
        ],
    )
    assert only(corpus)[::2] == (False, "judge:m@1")
    assert only(corpus, "majority")[::2] == (True, "embedding:a@1,judge:m@1,rules@1")


@pytest.mark.parametrize("policy", ["weighted", "dawid_skene"])
def test_a_pattern_without_ground_to_stand_on_falls_back_to_rank(corpus: Store, policy: Policy) -> None:
    add_traces(corpus, ["t"])
    corpus.append_rows(
        "annotations",
        [annotation("t", "unsafe", "judge:m@1", True), annotation("t", "unsafe", "rules@1", False)],
    )
    assert only(corpus, policy) == only(corpus)


def test_an_annotator_without_a_measured_reliability_speaks_only_where_nobody_else_does(
    judged: Store,
) -> None:
    rows = [
        annotation("t001", "inconsistency", "guard:new@1", True),
        annotation("new", "inconsistency", "guard:new@1", True),
    ]
    add_traces(judged, ["new"])
    judged.append_rows("annotations", rows)
    connection = connect(judged, policy="weighted")
    query = "select trace_id, provenance from verdicts where trace_id in ('t001', 'new') and pattern = 'inconsistency'"
    found = {row["trace_id"]: row["provenance"] for row in select(connection, query).to_pylist()}
    assert found["new"] == "guard:new@1" and "guard:new" not in found["t001"]


def test_a_calibrated_threshold_decides_the_label_and_the_latest_counts(corpus: Store) -> None:
    add_traces(corpus, ["t"])
    corpus.append_rows("annotations", [annotation("t", "unsafe", "rules@1", True, 0.75)])
    assert only(corpus)[0] is True
    calibrate(corpus, 1, "rules@1", "unsafe", 0.8)
    assert only(corpus)[:2] == (False, 0.75)
    calibrate(corpus, 2, "rules@1", "unsafe", 0.75)
    assert only(corpus)[0] is True
    calibrate(corpus, 3, "rules@1", "unsafe", None)
    assert only(corpus)[0] is True
    calibrate(corpus, 4, "rules@2", "unsafe", 0.9)  # another version of it
    assert only(corpus)[0] is True


def test_an_abstention_is_not_turned_into_a_verdict_by_a_threshold(corpus: Store) -> None:
    add_traces(corpus, ["t"])
    corpus.append_rows("annotations", [annotation("t", "unsafe", "rules@1", None, 0.9)])
    calibrate(corpus, 1, "rules@1", "unsafe", 0.5)
    assert only(corpus)[0] is None


def test_a_query_may_name_its_policy(judged: Store, tmp_path) -> None:
    query = "select count_if(label)::int as n from verdicts where pattern = 'unsafe'"
    for policy in POLICIES:
        done = curate(
            "sql", query, "--consensus", policy, "--json", "--corpus", str(judged.root), cwd=tmp_path
        )
        assert json.loads(done.stdout) == select(connect(judged, policy=policy), query).to_pylist()
    done = curate("sql", query, "--consensus", "loudest", "--corpus", str(judged.root), cwd=tmp_path)
    assert done.returncode == 2
    assert all(f"'{policy}'" in done.stderr for policy in POLICIES)


def test_a_mix_says_by_which_policy_it_was_built(judged: Store, tmp_path) -> None:
    from curation.mix import build as mix

    rows = {}
    for policy in POLICIES:
        recipe = tmp_path / f"{policy}.yaml"
        recipe.write_text(f"name: x\nconsensus: {policy}\nparts: {{a: {{where: unsafe}}}}\n")
        manifest = mix.run(judged.root, recipe, out=tmp_path / policy)
        assert manifest.recipe["consensus"] == policy
        rows[policy] = manifest.counts.kept
        query = "select count(*) as n from candidates where unsafe"
        assert rows[policy] == select(connect(judged, policy=policy), query)["n"].to_pylist()[0]
    assert len(set(rows.values())) > 1


def test_a_trace_looked_at_alone_has_the_verdicts_that_it_has_among_all(judged: Store) -> None:
    newer = [
        annotation("t001", "unsafe", "rules@2", True),
        annotation("t002", "unsafe_answer", "judge:m@1", False),
    ]
    judged.append_rows("annotations", newer)
    calibrate(judged, 1, "judge:m@1", "inconsistency", 0.7)
    everything = connect(judged)
    for view in ("verdicts", "current_annotations"):
        query = f"select * from {view} where trace_id = $id order by all"
        for trace_id in ("t000", "t001", "t002", "t005", "t299"):
            alone = of_trace(everything, judged, trace_id)
            among, by_itself = (
                select(each, query, {"id": trace_id}).to_pylist() for each in (everything, alone)
            )
            assert by_itself == among and among


@pytest.mark.parametrize("calibrated", [False, True])
def test_status_counts_what_was_said_and_decided_of_every_trace(judged: Store, calibrated: bool) -> None:
    guards = ("guard:reasoningshield+m@1", "guard:harmbench+m@1", "guard:llama-guard+m@1")
    dice = random.Random(7)
    more = [
        annotation(f"t{n:03}", pattern, name, dice.choice((True, False, None)))
        for n in range(0, 300, 3)
        for name, pattern in [
            ("rules@2", "unsafe"), ("human:ann@2", "inconsistency"), ("human:bob", "home_made"), ("adjudicator:ada", "unsafe"),
            *((guard, entry) for guard in guards for entry in ("unsafe", "unsafe_reasoning", "unsafe_answer")),
        ]
        if dice.random() < 0.7
    ]  # fmt: skip
    dice.shuffle(more)
    judged.append_rows("annotations", more)
    if calibrated:
        calibrate(judged, 1, "embedding:a@1", "weak_vacillation", 0.8)
    connection, told = connect(judged), status.read(judged.root)
    counts = "count_if(label) as present, count_if(not label) as absent, count_if(label is null) as abstained"
    verdicts = f"select pattern, {counts} from verdicts group by pattern order by pattern"
    assert told.verdicts == select(connection, verdicts).to_pylist() and len(told.verdicts) == 6
    said = (
        "count(distinct trace_id) as traces, count_if(label) as present, count_if(label is null) as abstained"
    )
    annotators = f"select annotator, {said} from annotations group by annotator order by annotator"
    assert told.annotators == select(connection, annotators).to_pylist() and len(told.annotators) == 12
