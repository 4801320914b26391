"""`sft attribute`: influences are those of explicit gradients of every row, and a killed call goes on to the same ranking."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import sft
from curation.engines.weights import load_model, locate
from schemas.errors import DataError, RecipeError
from sft.attribution import features, stage
from sft.attribution.behaviours import Behaviour
from sft.attribution.features import BLOCK
from sft.attribution.ranking import read_table
from sft.attribution.recipe import AttributeRecipe
from sft.attribution.replay import open_run, rendered
from sft.attribution.stage import attribute
from sft.cli import app
from sft.proof.render import RenderedRow
from sft.training.snapshots import RunSnapshot, snapshots
from tests.killing import die, killed_in


def table_of(folder: Path, manifest: Any) -> list[dict[str, Any]]:
    return list(read_table(folder / manifest.summary["file"]).to_pylist())


def explicit(run: Path, behaviour: Behaviour, similarity: str) -> torch.Tensor:
    """The influence of every row, from whole gradients that plain autograd makes of one sequence at a time, in float64."""
    opened = open_run(run)
    adapter = opened.config.method == "lora"
    total = torch.zeros(len(opened.sequences), dtype=torch.float64)
    for snapshot in snapshots(run):
        model = load_model(locate(str(run)), "float32")
        named = dict(model.named_parameters())
        kept = [name for name in named if not adapter or "lora_" in name]
        for name, values in snapshot.weights().items():
            named[name].data = values
        wanted = sum(
            one.weight * gradient(model, named, kept, rendered(opened, one)) for one in behaviour.replies
        )
        for number, sequence in enumerate(opened.sequences):
            stepped = gradient(model, named, kept, sequence) / roots(snapshot, kept)
            size = stepped.norm() * wanted.norm() if similarity == "cosine" else 1
            total[number] += snapshot.weight * (stepped @ wanted) / size
    return total


def gradient(model: Any, named: dict[str, Any], kept: list[str], sequence: RenderedRow) -> torch.Tensor:
    for name, parameter in named.items():
        parameter.requires_grad_(name in kept)
    model.zero_grad()
    model(
        input_ids=torch.tensor([sequence.input_ids]), labels=torch.tensor([sequence.labels])
    ).loss.backward()
    return torch.cat([named[name].grad.flatten() for name in kept]).double()


def roots(snapshot: RunSnapshot, kept: list[str]) -> torch.Tensor:
    moments = snapshot.moments()
    return torch.cat([moments[name].flatten() for name in kept]).double().sqrt() + snapshot.epsilon


@pytest.mark.parametrize(
    ("method", "similarity"), [("full", "product"), ("full", "cosine"), ("lora", "product")]
)
def test_exact_influences_are_those_of_explicit_gradients(
    trained: Any, scored: Path, behaviour: Behaviour, tmp_path: Path, method: str, similarity: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run = trained(method)
    monkeypatch.setattr(stage, "behaviours", lambda *given: [behaviour])
    recipe = AttributeRecipe(projection=0, similarity=similarity)
    made = attribute(run, scored, tmp_path / "eval", recipe, out=tmp_path / "out")
    found = {row["row_id"]: row["influence"] for row in table_of(tmp_path / "out", made)}
    wanted = explicit(run, behaviour, similarity)
    ours = torch.tensor([found[row.row_id] for row in open_run(run).rows], dtype=torch.float64)
    assert len(found) == 12 and torch.allclose(ours, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


def test_projected_influences_err_as_little_as_their_size_promises(
    trained: Any, scored: Path, tmp_path: Path
) -> None:
    found = {}
    for size in (0, 256, 65536):
        recipe, out = AttributeRecipe(projection=size, similarity="cosine"), tmp_path / str(size)
        made = attribute(trained(), scored, tmp_path / "eval", recipe, out=out)
        rows = sorted(table_of(out, made), key=lambda row: row["row_id"])
        found[size] = torch.tensor([row["influence"] for row in rows])
    weight = sum(one.weight for one in snapshots(trained()))
    for size in (256, 65536):
        error = float((found[size] - found[0]).square().mean().sqrt()) / weight
        assert error < (2 / size) ** 0.5, (size, error)


@pytest.mark.parametrize("method", ["gradients", "states", "loss"])
def test_every_row_has_one_rank_per_behaviour(
    trained: Any, scored: Path, tmp_path: Path, method: Any
) -> None:
    made = attribute(
        trained(), scored, tmp_path / "eval", AttributeRecipe(method=method), out=tmp_path / "out"
    )
    rows = table_of(tmp_path / "out", made)
    assert [row["rank"] for row in rows] == list(range(1, 13)) and made.counts.balance == 0
    assert [row["influence"] for row in rows] == sorted((row["influence"] for row in rows), reverse=True)
    assert rows[0]["share"] == pytest.approx(1 / 12) and {row["method"] for row in rows} == {method}


def test_the_cache_serves_another_behaviour(trained: Any, scored: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    attribute(trained(), scored, tmp_path / "eval", AttributeRecipe(), out=out)
    files = {path: path.stat().st_mtime_ns for path in out.rglob("rows-*")}
    attribute(trained(), scored, tmp_path / "eval", AttributeRecipe(category="kitchen"), out=out)
    assert files == {path: path.stat().st_mtime_ns for path in out.rglob("rows-*")} and len(files) == 2
    assert len(list(out.glob("influence-*.parquet"))) == 2


def test_a_killed_call_goes_on_to_the_same_ranking(trained: Any, scored: Path, tmp_path: Path) -> None:
    """Killed while the second file of rows is being made; what was finished is not made again."""
    run, out = trained(), tmp_path / "out"
    whole = attribute(run, scored, tmp_path / "eval", AttributeRecipe(), out=tmp_path / "whole")
    usual = features.make

    def make(folder: Path, *given: Any) -> None:
        if folder.name != "step-000001":
            die()
        usual(folder, *given)

    def work() -> None:
        features.make = make
        attribute(run, scored, tmp_path / "eval", AttributeRecipe(), out=out)

    killed_in(work)
    (first,) = out.rglob("rows-*")
    before = first.stat().st_mtime_ns
    again = attribute(run, scored, tmp_path / "eval", AttributeRecipe(), out=out)
    assert first.stat().st_mtime_ns == before and not list(out.glob("**/.tmp-*"))
    assert table_of(out, again) == table_of(tmp_path / "whole", whole)


def influence_of(folder: Path, manifest: Any) -> dict[str, float]:
    return {row["row_id"]: row["influence"] for row in table_of(folder, manifest)}


def test_several_runs_are_ranked_by_the_mean_and_each_keeps_its_cache(
    trained: Any, scored: Path, tmp_path: Path
) -> None:
    runs = [trained(), trained(seed=1)]
    found = [attribute(run, scored, tmp_path / "eval", AttributeRecipe()) for run in runs]
    files = {path: path.stat().st_mtime_ns for run in runs for path in run.rglob("rows-*")}
    both = attribute(runs[0], scored, tmp_path / "eval", AttributeRecipe(), also=runs[1:])
    assert files == {path: path.stat().st_mtime_ns for run in runs for path in run.rglob("rows-*")}
    first, second = (influence_of(run / stage.FOLDER, made) for run, made in zip(runs, found, strict=True))
    assert first != second
    assert influence_of(runs[0] / stage.FOLDER, both) == pytest.approx(
        {key: (value + second[key]) / 2 for key, value in first.items()}, rel=1e-12
    )
    assert both.summary["file"] not in {one.summary["file"] for one in found}
    assert both.recipe["models"] == [one.recipe["models"][0] for one in found]
    page = (runs[0] / stage.FOLDER / str(both.summary["page"])).read_text()
    assert "mean over 2 runs" in page


def test_runs_in_one_folder_keep_their_caches_apart(trained: Any, scored: Path, tmp_path: Path) -> None:
    runs = [trained(), trained(seed=1)]
    both, again = (
        attribute(runs[0], scored, tmp_path / "eval", AttributeRecipe(), also=runs[1:], out=out)
        for out in (None, tmp_path / "out")
    )
    assert table_of(tmp_path / "out", again) == table_of(runs[0] / stage.FOLDER, both)
    assert len(list((tmp_path / "out").rglob("rows-*"))) == 4  # two snapshots of each


def test_a_run_that_is_given_twice_is_refused(trained: Any, scored: Path, tmp_path: Path) -> None:
    for also in ([trained()], [trained(seed=1), trained(seed=1)]):
        told = rf"{also[-1]}: is the same run as .* would count twice.*another seed"
        with pytest.raises(DataError, match=told):
            attribute(
                trained(), scored, tmp_path / "eval", AttributeRecipe(), also=also, out=tmp_path / "out"
            )
    assert not (tmp_path / "out").exists()


def test_a_killed_call_over_several_runs_goes_on_behind_the_runs_that_are_finished(
    trained: Any, scored: Path, tmp_path: Path
) -> None:
    runs, out = [trained(), trained(seed=1)], tmp_path / "out"
    whole = attribute(
        runs[0], scored, tmp_path / "eval", AttributeRecipe(), also=runs[1:], out=tmp_path / "whole"
    )
    usual, made = features.make, []

    def make(folder: Path, *given: Any) -> None:
        made.append(folder)
        if len(made) == 3:  # the first snapshot of the second run
            die()
        usual(folder, *given)

    def work() -> None:
        features.make = make
        attribute(runs[0], scored, tmp_path / "eval", AttributeRecipe(), also=runs[1:], out=out)

    killed_in(work)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("rows-*")}
    again = attribute(runs[0], scored, tmp_path / "eval", AttributeRecipe(), also=runs[1:], out=out)
    assert len(before) == 2 and all(path.stat().st_mtime_ns == then for path, then in before.items())
    assert table_of(out, again) == table_of(tmp_path / "whole", whole)


@pytest.mark.parametrize(
    ("rows", "given", "named"),
    [(11, {}, "mix_id"), (12, {"learning_rate": 1e-4}, "learning_rate"), (12, {"max_steps": 5}, "max_steps")],
)
def test_a_run_that_differs_in_more_than_its_seed_is_refused(
    trained: Any, scored: Path, tmp_path: Path, models: dict[str, Path], rows: int, given: Any, named: str
) -> None:
    from sft.training.stage import train
    from tests.sft.conftest import sample_rows, write_mix
    from tests.sft.training.test_trainer import config

    mix = write_mix(tmp_path / "mix", sample_rows(12)[:rows])
    settings = {"lora": {"r": 4, "lora_alpha": 8}, "max_steps": 6, "snapshots": 2, "seed": 3, **given}
    train(config(models["own"], mix, tmp_path / "run", **settings))
    told = rf"run: was trained with a different {named} than .*another seed"
    with pytest.raises(DataError, match=told):
        attribute(trained(), scored, tmp_path / "eval", AttributeRecipe(), also=[tmp_path / "run"])


def test_a_changed_mix_is_refused(
    trained: Any, scored: Path, tmp_path: Path, models: dict[str, Path]
) -> None:
    from sft.training.stage import train
    from tests.sft.conftest import sample_rows, write_mix
    from tests.sft.training.test_trainer import config

    mix = write_mix(tmp_path / "mix", sample_rows(8)[:8])
    train(config(models["own"], mix, tmp_path / "run", max_steps=1))
    write_mix(tmp_path / "mix", sample_rows(8)[:7])
    with pytest.raises(DataError, match="another mix"):
        attribute(tmp_path / "run", scored, tmp_path / "eval", AttributeRecipe())


def test_a_run_without_snapshots_is_looked_at_where_it_ended(
    scored: Path, tmp_path: Path, models: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from sft.training.stage import train
    from tests.sft.conftest import sample_rows, write_mix
    from tests.sft.training.test_trainer import config

    train(
        config(models["own"], write_mix(tmp_path / "mix", sample_rows(8)[:8]), tmp_path / "run", max_steps=2)
    )
    made = attribute(tmp_path / "run", scored, tmp_path / "eval", AttributeRecipe())
    assert made.summary["snapshots"] == 0 and "kept no snapshots" in capsys.readouterr().err
    assert len(table_of(tmp_path / "run" / "attribution", made)) == 8


def test_the_command_estimates_and_ranks(trained: Any, scored: Path, tmp_path: Path) -> None:
    command = ["attribute", str(trained()), "--on", str(scored), "--evaluation", str(tmp_path / "eval"), "--out", str(tmp_path / "out"), "--json"]  # fmt: skip
    told = CliRunner().invoke(app, [*command, "--dry-run"])
    cost = json.loads(told.stdout)
    assert (cost["rows"], cost["replies"], cost["points"]) == (12, 3, 2) and cost["disk_gb"] > 0
    assert not (tmp_path / "out").exists()
    also = ["--also", str(trained(seed=1))]
    assert json.loads(CliRunner().invoke(app, [*command, *also, "--dry-run"]).stdout)["points"] == 4
    assert len(json.loads(CliRunner().invoke(app, [*command, *also]).stdout)["recipe"]["models"]) == 2
    ranked = json.loads(CliRunner().invoke(app, command).stdout)
    assert ranked["summary"]["behaviours"] == [{"name": "overrefusal", "with": 2, "without": 1}]
    assert len(ranked["summary"]["strongest"]) == 12 <= BLOCK


def test_python_ranks_as_the_command_does(trained: Any, scored: Path, tmp_path: Path) -> None:
    also = [trained(seed=1)]
    made = sft.attribute(
        trained(), tmp_path / "eval", scored, suite="overrefusal", also=also, out=tmp_path / "out"
    )
    models: Any = made.recipe["models"]
    assert len(models) == 2
    assert made.counts.kept == 12 and (tmp_path / "out" / str(made.summary["page"])).is_file()
    with pytest.raises(RecipeError, match="method"):
        sft.attribute(trained(), tmp_path / "eval", scored, method="guess", out=tmp_path / "out")  # type: ignore[arg-type]
