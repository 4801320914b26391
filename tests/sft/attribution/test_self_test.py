"""The self-test: what is planted is found where it can be, and a ranking by chance is warned of."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.errors import DataError
from sft.attribution.planting import plant
from sft.attribution.quality import ModellingScore
from sft.attribution.self_test import Recovery, SelfTest, SelfTestRecipe, self_test, show
from sft.cli import app
from sft.scoring.statistics import Interval
from tests.sft.conftest import make_row, write_mix
from tests.sft.training.test_trainer import config

THINGS = ("lamp", "chair", "egg", "walnut", "garden", "wall", "box", "kite", "door", "bike")


@pytest.fixture
def harmless(tmp_path: Path) -> Path:
    """A mix of harmless questions and their answers."""
    rows = [
        make_row(f"How do I {verb} the {thing}?", f"They want to {verb} the {thing}. That is easy.", f"Take the {thing} and {verb} it slowly.", part="benign")
        for verb in ("paint", "clean", "mend", "draw", "wrap", "measure") for thing in THINGS
    ]  # fmt: skip
    return write_mix(tmp_path / "mix", [row.model_copy(update={"kind": "benign"}) for row in rows])


def test_planted_rows_refuse_questions_of_the_mix_and_probes_are_held_out(harmless: Path) -> None:
    from sft.proof.mix import read_mix

    rows = read_mix(harmless).rows
    made = plant(rows, size=40, share=0.1, probes=8, seed=0)
    assert len(made.rows) == 40 and sum(made.planted) == 4 and len(made.probes) == 8
    planted = [row for row, told in zip(made.rows, made.planted, strict=True) if told]
    own = {row.prompt: row.answer for row in rows}
    assert all(
        row.answer != own[row.prompt] and row.trace_id not in {r.trace_id for r in rows} for row in planted
    )
    prompts = [row.prompt for row in made.rows]
    assert len(set(prompts)) == 40 and not set(prompts) & {row.prompt for row in made.probes}
    refusals = {reply.answer for reply in made.behaviour.replies if reply.weight > 0}
    assert not refusals & {row.answer for row in planted}  # in other words than those that were planted
    assert sum(reply.weight for reply in made.behaviour.replies) == pytest.approx(0)
    assert plant(rows, 40, 0.1, 8, seed=0) == made and plant(rows, 40, 0.1, 8, seed=1).rows != made.rows


def test_a_mix_without_harmless_rows_is_told_what_it_lacks(mix: Path) -> None:
    from sft.proof.mix import read_mix

    with pytest.raises(DataError, match="needs 21 rows of kind benign with an answer, and the mix has 0"):
        plant(read_mix(mix).rows, 400, 0.05, 20, 0)


@pytest.mark.slow
def test_gradients_find_what_was_planted(models: dict[str, Path], harmless: Path, tmp_path: Path) -> None:
    settings = config(
        models["own"], harmless, tmp_path / "run", max_steps=None, num_train_epochs=6, learning_rate=3e-3
    )
    found = self_test(settings, SelfTestRecipe(rows=50, probes=10, share=0.1, subsets=4), tmp_path / "test")
    by_name = {one.method: one for one in found.methods}
    assert (found.rows, found.planted, found.chance) == (50, 5, 0.1)
    assert by_name["gradients"].works and by_name["gradients"].average_precision > 0.5
    scores = {name: one.data_modelling_score for name, one in by_name.items()}
    assert len(scores) == 4
    assert all(one and -1 <= one.interval.low <= one.interval.high <= 1 for one in scores.values())
    assert len(list((tmp_path / "test").glob("subset-*/run/manifest.json"))) == 4


def test_the_command_takes_a_recipe(models: dict[str, Path], harmless: Path, tmp_path: Path) -> None:
    settings = config(models["own"], harmless, tmp_path / "run", max_steps=4)
    (tmp_path / "run.yaml").write_text(json.dumps(settings.model_dump(mode="json", exclude_none=True)))
    done = CliRunner().invoke(
        app, ["attribute", str(tmp_path / "run.yaml"), "--self-test", "--rows", "30", "--json"]
    )
    found: Any = json.loads(done.stdout)
    assert found["rows"] == 30 and found["methods"][0]["method"] == "gradients"
    assert (tmp_path / "run-self-test" / "planted" / "run" / "manifest.json").is_file()


def test_a_ranking_by_chance_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    bad, good = Recovery("states", 0.06, 0.4, 0.0, None), Recovery("gradients", 0.9, 0.0005, 0.8, None)
    show(SelfTest("tiny@1", 400, 20, 0.05, (0, 9), 20, [bad, good]))
    warned = capsys.readouterr().err
    assert "states: no better than chance (p = 0.4)" in warned and "gradients" not in warned


def test_a_method_that_predicts_halves_no_better_than_chance_is_warned_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    good, bad = (
        ModellingScore(0.52, Interval(0.31, 0.7), 0.001),
        ModellingScore(-0.1, Interval(-0.4, 0.3), 0.6),
    )
    found = [Recovery("gradients", 0.9, 0.0005, 0.8, good), Recovery("loss", 0.8, 0.0005, 0.7, bad)]
    show(SelfTest("tiny@1", 400, 20, 0.05, (0, 9), 20, found))
    told = capsys.readouterr()
    assert "0.31 to 0.70" in told.out and "-0.40 to 0.30" in told.out
    assert "loss: predicts what training on other rows gives no better than chance (p = 0.6)" in told.err
    assert "gradients" not in told.err
    show(SelfTest("tiny@1", 400, 20, 0.05, (0, 9), 20, [Recovery("loss", 0.8, 0.0005, 0.7, None)]))
    assert "data-modelling" not in capsys.readouterr().out


def test_fewer_subsets_than_can_tell_anything_are_a_usage_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["attribute", str(tmp_path), "--self-test", "--subsets", "3"])
    assert done.exit_code == 2 and "than or equal to 4" in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []


def test_without_a_self_test_an_evaluation_corpus_is_wanted(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["attribute", str(tmp_path)])
    assert done.exit_code == 2 and "--evaluation" in done.output


@pytest.mark.parametrize("instead", [["--self-test"], ["--leave-out", "part", "--evaluation", "eval"]])
def test_a_dry_run_trains_nothing(tmp_path: Path, instead: list[str]) -> None:
    done = CliRunner().invoke(app, ["attribute", str(tmp_path), "--dry-run", *instead])
    assert done.exit_code == 2 and "rankings only" in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []
