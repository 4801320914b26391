import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from schemas.errors import CurateError, RenderError
from sft.cli import app
from tests.sft.conftest import make_row, sample_rows, write_mix

runner = CliRunner()


def invoke(*arguments: Any, error: type[CurateError] | None = None) -> Any:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    if error is None:
        assert result.exit_code == 0, (result.output, result.exception)
    else:
        assert isinstance(result.exception, error), result.exception
    return result


def test_check_prints_the_proof_as_json_and_nothing_else(mix: Path, models: dict[str, Path]) -> None:
    document = json.loads(
        invoke("check", "--mix", mix, "--model", models["r1"], "--json", "--show", 1).stdout
    )
    assert (document["rows"], document["proven"], document["failures"]) == (24, 24, [])
    assert set(document["claims"].values()) == {24}
    first = sample_rows()[0]
    shown = {part["segment"]: part["text"] for part in document["shown"][0]}
    assert (shown["reasoning"], shown["answer"], shown["eos"]) == (
        first.reasoning, first.answer, "<｜end▁of▁sentence｜>",
    )  # fmt: skip
    assert first.prompt in shown["prompt"]


def test_check_shows_texts_only_when_asked(mix: Path, models: dict[str, Path]) -> None:
    first = sample_rows()[0]
    some = first.answer.split(".")[0][:20]
    assert some not in invoke("check", "--mix", mix, "--model", models["qwen3"]).stdout
    shown = invoke("check", "--mix", mix, "--model", models["qwen3"], "--show", 1).stdout
    assert "24 of 24 rows pass" in shown
    assert some in shown and "[eos] <|im_end|>" in shown


def test_check_shows_the_weights_of_a_recipe(mix: Path, models: dict[str, Path], tmp_path: Path) -> None:
    recipe = tmp_path / "run.yaml"
    rules = [{"of": "all", "weight": 0.5}, {"of": "answer", "weight": 3}]
    recipe.write_text(
        yaml.safe_dump({"model": "m", "mix": "x", "out": "o", "token_weights": {"rules": rules}})
    )
    asked = ("check", "--mix", mix, "--model", models["qwen3"], "--show", 1, "--weights", recipe)
    answer = sample_rows()[0].answer
    shown = invoke(*asked).stdout
    assert "[x0.5] <think>" in shown and f"[x3] {answer.split('.')[0][:20]}" in shown and "[eos]" not in shown
    (weights,) = json.loads(invoke(*asked, "--json").stdout)["weights"]
    assert {"weight": 3.0, "text": answer} in weights and weights[-1] == {"weight": 0.5, "text": "<|im_end|>"}


def test_check_prints_the_counts_and_then_fails_on_a_row_it_cannot_prove(
    models: dict[str, Path], tmp_path: Path
) -> None:
    mix = write_mix(tmp_path / "bad", [*sample_rows(), make_row("Hi", "a </think> b", "Fine.", 1)])
    result = invoke("check", "--mix", mix, "--model", models["r1"], error=RenderError)
    assert "24 of 25 rows pass" in result.stdout
    assert "24 / 25" in result.stdout and "FAILS" in result.stdout


def test_no_escape_sequence_of_the_data_reaches_the_terminal(models: dict[str, Path], tmp_path: Path) -> None:
    mix = write_mix(tmp_path / "mix", [make_row("Hi", "Turn \x1b[31mred\x1b[0m.", "Fine.")])
    shown = invoke("check", "--mix", mix, "--model", models["own"], "--show", 1).stdout
    assert "red" in shown and "\x1b[31m" not in shown


def test_run_prints_the_manifest_as_json(mix: Path, models: dict[str, Path], tmp_path: Path) -> None:
    settings = {
        "model": str(models["own"]), "mix": str(mix), "out": str(tmp_path / "run"), "max_steps": 1,
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "bf16": False, "max_length": 512,
        "report_to": "tensorboard",
    }  # fmt: skip
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    manifest = json.loads(invoke("run", path, "--json").stdout)
    assert manifest["stage"] == "sft" and manifest["counts"]["kept"] == 24
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_score_takes_only_suites_it_knows(models: dict[str, Path]) -> None:
    result = runner.invoke(app, ["score", str(models["own"]), "--suite", "charm"])
    assert result.exit_code == 2
    assert "overrefusal" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--show"], "applies to logs only"), (["--export", "csv"], "'csv' is not")],
)
def test_score_refuses_export_options_that_would_do_nothing(options: list[str], message: str) -> None:
    result = runner.invoke(app, ["score", "model", *options], env={"COLUMNS": "200"})
    assert result.exit_code == 2 and message in result.output
