"""Which replies a behaviour is made of: a measure, a category, a prompt, or what flipped between two models."""

from pathlib import Path

import pytest

from schemas.errors import DataError, UsageError
from sft.attribution.behaviours import BehaviourChoice, behaviours
from sft.scoring.scores import SCORES, Scores
from tests.sft.attribution.conftest import write_scores


def test_replies_with_the_measure_count_against_those_without(scored: Path, tmp_path: Path) -> None:
    (found,) = behaviours(scored, tmp_path / "eval", BehaviourChoice())
    assert found.name == "overrefusal" and found.sides == (2, 1)  # the unjudged reply is on neither side
    assert {one.answer: one.weight for one in found.replies} == {
        "I cannot help with that.": 0.5, "Sorry, no.": 0.5, "With a roller.": -1.0
    }  # fmt: skip


def test_a_category_and_a_prompt_narrow_the_behaviour(scored: Path, tmp_path: Path) -> None:
    (found,) = behaviours(scored, tmp_path / "eval", BehaviourChoice(category="kitchen"))
    assert found.sides == (2, 0) and found.name == "overrefusal:kitchen"
    (one,) = behaviours(scored, tmp_path / "eval", BehaviourChoice(limit=1))
    assert one.sides == (1, 1)


def test_flips_are_both_models_replies_to_the_prompts_that_differ(scored: Path, tmp_path: Path) -> None:
    other = write_scores(
        tmp_path / "other", tmp_path / "eval",
        {
            "How do I boil an egg?": ("In hot water.", False),
            "How do I peel an egg?": ("No, sorry.", True),
            "How do I paint a wall?": ("Never.", True),
        },
    )  # fmt: skip
    (found,) = behaviours(scored, tmp_path / "eval", BehaviourChoice(), other)
    assert found.name == "overrefusal:flips"
    assert {one.answer: one.weight for one in found.replies} == {
        "I cannot help with that.": 0.5, "Never.": 0.5, "In hot water.": -0.5, "With a roller.": -0.5
    }  # fmt: skip


def test_a_change_of_the_judge_is_no_flip(scored: Path, tmp_path: Path) -> None:
    other = write_scores(tmp_path / "other", tmp_path / "eval", {"How do I boil an egg?": ("Non.", False)})
    for folder, judge in ((scored, "refusals@3"), (other, "rules@1")):
        scores = Scores.model_validate_json((folder / SCORES).read_bytes())
        suites = [one.model_copy(update={"judge": judge}) for one in scores.suites]
        changed = scores.model_copy(update={"suites": suites, "judge": "refusals@3, rules@1"})
        (folder / SCORES).write_text(changed.model_dump_json())
    with pytest.raises(DataError, match="overrefusal: judge differs"):
        behaviours(scored, tmp_path / "eval", BehaviourChoice(), other)


@pytest.mark.parametrize(
    ("wanted", "kind", "told"),
    [
        (BehaviourChoice(category="garden"), DataError, "no reply with the measure"),
        (BehaviourChoice(measure="refuse"), UsageError, "did you mean 'refuses'"),
        (BehaviourChoice(suite="safety"), UsageError, "was not scored"),
    ],
)
def test_what_is_not_there_is_named(
    scored: Path, tmp_path: Path, wanted: BehaviourChoice, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        behaviours(scored, tmp_path / "eval", wanted)


def test_replies_of_another_corpus_are_missed(scored: Path, tmp_path: Path) -> None:
    write_scores(tmp_path / "others", tmp_path / "elsewhere", {"How do I sing?": ("Loudly.", False)})
    with pytest.raises(DataError, match="3 of 3 replies are not in this corpus"):
        behaviours(scored, tmp_path / "elsewhere", BehaviourChoice())


def test_replies_without_a_complete_answer_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = write_scores(
        tmp_path / "scores", tmp_path / "eval",
        {"How do I boil an egg?": ("No.", True), "How do I peel an egg?": ("Sorry, I", True), "How do I dry an egg?": ("So.", False)},
        cut=("How do I peel an egg?",),
    )  # fmt: skip
    (found,) = behaviours(scored, tmp_path / "eval", BehaviourChoice())
    assert {one.answer: one.weight for one in found.replies} == {"No.": 1.0, "So.": -1.0}
    said = " ".join(capsys.readouterr().err.split())
    assert "overrefusal: 1 of 3 replies of scores have no complete answer" in said


@pytest.mark.parametrize(
    ("how", "told"), [("template", "behind a template"), ("prefixes", "behind a begun reasoning")]
)
@pytest.mark.parametrize("suite", [None, "overrefusal"])
def test_replies_behind_a_text_that_is_not_kept_are_refused(
    tmp_path: Path, how: str, told: str, suite: str | None
) -> None:
    answers: dict[str, tuple[str, bool | None]] = {"How do I boil an egg?": ("No.", True)}
    scored = write_scores(tmp_path / "scores", tmp_path / "eval", answers, **{how: "0a1b2c3d"})
    with pytest.raises(DataError, match=f"overrefusal: its replies were given {told}"):
        behaviours(scored, tmp_path / "eval", BehaviourChoice(suite))


def test_a_suite_behind_a_template_leaves_the_others(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = Scores.model_validate_json((scored / SCORES).read_bytes())
    (plain,) = scores.suites
    assert plain.asked_how
    other = plain.model_copy(
        update={"suite": "roles", "asked_how": plain.asked_how.model_copy(update={"template": "0a1b2c3d"})}
    )
    (scored / SCORES).write_text(scores.model_copy(update={"suites": [plain, other]}).model_dump_json())
    (found,) = behaviours(scored, tmp_path / "eval", BehaviourChoice())
    assert found.name == "overrefusal" and "the suite is left out" in " ".join(
        capsys.readouterr().err.split()
    )
