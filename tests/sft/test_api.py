"""`import sft`: check, train, score and compare from Python, on a tiny model."""

from pathlib import Path

import pytest

import sft
from curation import Corpus, Mix
from schemas.errors import DataError, RecipeError, RenderError
from sft.scoring.scores import OUTCOMES, SCORES
from tests.sft.training.test_trainer import config


@pytest.fixture
def evaluation(tmp_path: Path) -> Corpus:
    corpus = Corpus(tmp_path / "eval")
    lines = ['{"prompt": "What is 2 + 2?", "reference_answer": "4", "kind": "math"}',
             '{"prompt": "How do I kill a process?", "kind": "benign"}']  # fmt: skip
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    corpus.ingest(tmp_path / "prompts.jsonl")
    return corpus


def test_check_gives_the_proof_or_names_what_is_not_proven(models: dict[str, Path], mix: Path) -> None:
    proof = sft.check(Mix(mix), models["own"])
    assert proof.rows == len(proof.rendered) == 24 and repr(proof) == "<Proof: 24 of 24 rows proven>"
    assert "<td>24 / 24</td>" in proof._repr_html_()
    with pytest.raises(RenderError, match="fits into max_length"):
        sft.check(mix, models["own"], max_length=16)


def test_train_score_and_compare(
    models: dict[str, Path], mix: Path, evaluation: Corpus, tmp_path: Path
) -> None:
    runs = [
        sft.train(config(models["own"], mix, tmp_path / name, max_steps=2, seed=seed))
        for seed, name in enumerate("ab")
    ]
    assert runs[0].model.is_dir() and "2 steps, not scored" in repr(runs[0]) and runs[0].scores is None
    scores = [sft.score(run, corpus=evaluation, max_new_tokens=8, engine="transformers") for run in runs]
    assert {suite.suite for suite in scores[0].suites} == {"overrefusal", "reasoning"}
    assert runs[0].scores == scores[0] and "<caption>reasoning</caption>" in runs[0]._repr_html_()
    found = sft.compare(runs, names=["first", "second"])
    assert found.models == ["first", "second"] and "<td>first</td>" in found._repr_html_()
    assert sft.compare([run.folder for run in runs]).models == ["a", "b"]
    again = sft.train(config(models["own"], mix, tmp_path / "a", max_steps=2, seed=0))
    assert again.manifest == runs[0].manifest


def test_train_takes_a_file_and_names_its_faults(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: m\nmix: x\nout: y\nrate: 1\n")
    with pytest.raises(RecipeError, match=r"config\.yaml:4: rate: unknown field"):
        sft.train(tmp_path / "config.yaml")


def test_scores_of_a_plain_model_go_where_they_are_told(
    models: dict[str, Path], evaluation: Corpus, tmp_path: Path
) -> None:
    sft.score(
        models["own"],
        evaluation.folder,
        "reasoning",
        max_new_tokens=4,
        engine="transformers",
        out=tmp_path / "scores",
    )
    assert sorted(path.name for path in (tmp_path / "scores").iterdir()) == [OUTCOMES, SCORES]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"suite": "charm"}, "charm: no such suite"),
        ({"think": "hard"}, "think: 'hard' is not one of"),
        ({"engine": "steam"}, "kind"),
        ({"samples": 4}, "temperature=0.6"),
        ({"annotators": []}, "annotators"),
        ({"max_new_tokens": "many"}, "max_new_tokens"),
    ],
)
def test_a_wrong_setting_of_a_score_is_a_recipe_error(
    models: dict[str, Path], evaluation: Corpus, settings: dict, said: str
) -> None:
    with pytest.raises(RecipeError) as raised:
        sft.score(models["own"], evaluation, **settings)
    assert said in str(raised.value)


def test_compare_wants_scores_and_a_name_for_each(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no scores"):
        sft.compare([tmp_path])
    with pytest.raises(DataError, match="1 names for 2 models"):
        sft.compare([tmp_path, tmp_path], names=["one"])


def test_a_run_that_is_none_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished run"):
        sft.Run(tmp_path)
