"""The agreement gate: from people's annotations to a mix that is built or refused."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from annotators.statistics.agreement import agreement, by_unit
from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.mix import build as mix
from curation.review import gate
from curation.review.gate import AgreementWish
from schemas import RISKY_PATTERNS, RecipeError
from tests.command_line import curate

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


def test_an_unknown_pattern_in_a_wish_is_a_fault_with_its_line(judge, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        AgreementWish(patterns=())
    recipe = tmp_path / "gated.yaml"
    recipe.write_text(RECIPE.replace("weak_vacillation", "vacillation"))
    with pytest.raises(RecipeError, match=r"gated.yaml:3: agreement.patterns: unknown pattern vacillation"):
        mix.run(judge(60).root, recipe, out=tmp_path / "mix")


def test_entries_and_whole_codebooks_are_demanded_and_levels_count_as_values(
    filled: Store, tmp_path: Path
) -> None:
    book = {
        "name": "garden",
        "version": 1,
        "description": "d",
        "entries": {
            "garden_named": {"field": "reasoning", "definition": "It names a plant."},
            "garden_care": {
                "field": "reasoning",
                "definition": "Care.",
                "levels": ["none", "some", "great"],
                "present_from": 2,
            },
        },
    }
    (tmp_path / "garden.yaml").write_text(yaml.safe_dump(book))
    assert (
        curate("codebook", "add", "garden.yaml", "--corpus", str(filled.root), cwd=tmp_path).returncode == 0
    )
    ids = sorted(filled.keys("traces"))[:40]
    dice = random.Random(2)
    truths = [dice.choice([0, 1, 2]) for _ in ids]
    # bob is one level lower wherever ann says great: their labels differ there, and the values only by a step
    said = {"human:ann": truths, "human:bob": [min(level, 1) for level in truths]}
    rows = [
        {"trace_id": id, "pattern": "garden_care", "annotator": who, "label": level == 2, "score": level / 2}
        for who, levels in said.items()
        for id, level in zip(ids, levels, strict=True)
    ]
    rows += [
        {"trace_id": id, "pattern": "garden_named", "annotator": who, "label": bool(level)}
        for who in said
        for id, level in zip(ids, truths, strict=True)
    ]
    filled.append_rows("annotations", rows)
    wish = AgreementWish(patterns=("garden", "answer_refusal"), n_min=40, alpha_min=0.4)
    found = gate.measured(connect(filled), wish)
    assert sorted(found) == ["answer_refusal", "garden_care", "garden_named"]
    assert found["garden_named"].alpha == 1 and found["garden_named"].fault is None
    labels = agreement(by_unit((r["trace_id"], r["label"]) for r in rows if r["pattern"] == "garden_care"))
    care = found["garden_care"]
    assert (
        care.alpha is not None
        and labels.alpha is not None
        and care.alpha > labels.alpha + 0.3
        and care.fault is None
    )
    assert found["answer_refusal"].fault and "0 traces judged" in found["answer_refusal"].fault

    recipe = tmp_path / "gated.yaml"
    recipe.write_text(RECIPE.replace("[weak_vacillation]", "[garden]").replace("n_min: 50", "n_min: 60"))
    planned = curate("plan", "gated.yaml", "--corpus", str(filled.root), cwd=tmp_path)
    assert "garden_care" in planned.stdout and "40 of 60" in planned.stdout and "closed" in planned.stdout
    assert "garden_named: 40 traces judged by two or more people, 60 wanted" in planned.stderr
    recipe.write_text(
        RECIPE.replace("[weak_vacillation]", "[garden_named]").replace("n_min: 50", "n_min: 40")
    )
    mix.run(filled.root, recipe, out=tmp_path / "mix")
    told = curate("why", ids[0], "--mix", "mix", "--corpus", str(filled.root), cwd=tmp_path)
    assert "garden_named" in told.stdout and "1.00 [1.00, 1.00]" in told.stdout and "open" in told.stdout
