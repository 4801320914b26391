"""The agreement gate: from people's annotations to a mix that is built or refused."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.mix import build as mix
from curation.review import gate
from curation.review.gate import AgreementWish
from schemas import RISKY_PATTERNS, RecipeError

WEAK = "weak_vacillation"
RECIPE = """
name: gated
agreement: {alpha_min: 0.67, n_min: 50, patterns: [weak_vacillation]}
parts:
  all: {where: "true"}
"""


@pytest.fixture
def judge(filled: Store) -> Callable[..., Store]:
    """Have ann and bob label the first `traces` traces; bob differs from ann at `slips` of them."""
    ids = sorted(filled.keys("traces"))

    def _judge(traces: int, slips: int = 0, pattern: str = WEAK, always: bool | None = None) -> Store:
        dice = random.Random(1)
        for person in ("ann", "bob"):
            dice.seed(1)
            truths = [dice.random() < 0.5 if always is None else always for _ in range(traces)]
            wrong = range(slips) if person == "bob" else ()
            rows = [
                {
                    "trace_id": ids[i],
                    "pattern": pattern,
                    "annotator": f"human:{person}",
                    "label": truth ^ (i in wrong),
                }
                for i, truth in enumerate(truths)
            ]
            filled.append_rows("annotations", rows)
        return filled

    return _judge


def faults(corpus: Store, **wish: object) -> list[str]:
    return gate.check(connect(corpus), AgreementWish(patterns=(WEAK,), **wish))


def test_people_who_agree_on_enough_traces_open_the_gate(judge) -> None:
    assert faults(judge(60, slips=3)) == []


def test_too_few_traces_are_counted_and_what_is_missing_is_said(judge) -> None:
    assert faults(judge(20)) == [
        "weak_vacillation: 20 traces judged by two or more people, 50 wanted: 30 more needed; "
        "see `curate review push` and `curate review status`"
    ]


def test_people_who_disagree_close_the_gate_with_alpha_and_its_interval(judge) -> None:
    (fault,) = faults(judge(60, slips=25))
    assert fault.startswith("weak_vacillation: alpha 0.1") and "over 60 traces, 0.67 wanted" in fault


def test_everyone_always_saying_no_proves_nothing(judge) -> None:
    (fault,) = faults(judge(60, always=False))
    assert "alpha is undefined" in fault


def test_all_five_patterns_are_demanded_by_default(judge) -> None:
    found = gate.check(connect(judge(60)), AgreementWish())
    assert [fault.split(":")[0] for fault in found] == [name for name in RISKY_PATTERNS if name != WEAK]


def test_machine_annotators_do_not_count_as_people(filled: Store) -> None:
    assert faults(filled)[0].startswith("weak_vacillation: 0 traces judged")


def test_an_edited_review_counts_once_in_its_latest_version(judge) -> None:
    corpus = judge(60, slips=25)
    rows = (
        connect(corpus)
        .execute("select trace_id, label from annotations where annotator = 'human:ann'")
        .fetchall()
    )
    edited = [
        {"trace_id": t, "pattern": WEAK, "annotator": "human:bob@2", "label": label} for t, label in rows
    ]
    corpus.append_rows("annotations", edited)
    assert faults(corpus) == []


def test_a_mix_is_refused_below_the_wish_and_built_above_it(judge, tmp_path: Path) -> None:
    recipe = tmp_path / "gated.yaml"
    recipe.write_text(RECIPE)
    corpus = judge(40)
    with pytest.raises(
        RecipeError, match=r"gated.yaml:3: agreement: weak_vacillation: 40 traces judged.*10 more needed"
    ):
        mix.run(corpus.root, recipe, out=tmp_path / "mix")
    assert not (tmp_path / "mix").exists()
    recipe.write_text(RECIPE.replace("n_min: 50", "n_min: 40"))
    assert mix.run(corpus.root, recipe, out=tmp_path / "mix").counts.kept == 80


def test_an_unknown_pattern_in_a_wish_is_a_fault() -> None:
    with pytest.raises(ValidationError):
        AgreementWish(patterns=("vacillation",))
