"""`sft run` with `dpo:` on pairs of `curate build-pairs`: the published loss, the base as reference, resumed runs the same."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from curation.corpus.store import Store
from curation.engines.weights import load_model, load_tokenizer, locate
from curation.pairs import folder
from curation.pairs import stage as pairs_stage
from schemas.errors import DataError, RecipeError, RenderError
from schemas.ids import content_id
from sft.cli import app
from sft.proof.check import prove
from sft.proof.mix import read_mix
from sft.training import preferences
from sft.training.stage import run, train
from tests.curation.pairs.test_stage import pairable, trace  # noqa: F401 - fixture
from tests.sft.training.test_trainer import config, kill_after_checkpoint, same, weights

BETA = 0.3


@pytest.fixture
def pairs(pairable: Store, tmp_path: Path) -> Path:  # noqa: F811 - the fixture
    pairs_stage.run(pairable.root, pairs_stage.load("safe-over-risky"), out=tmp_path / "pairs")
    return tmp_path / "pairs"


def settings(model: Path, pairs: Path, out: Path, **more: Any) -> Any:
    return config(model, pairs, out, dpo={"beta": BETA}, **{"learning_rate": 5e-3, **more})


def rendered_pairs(model: Path, pairs: Path) -> list[preferences.RenderedPair]:
    mix = read_mix(pairs)
    return preferences.rendered_pairs(mix, prove(load_tokenizer(locate(str(model))), mix.rows, 512))


def logged(out: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


def log_probability(model: Any, row: Any) -> torch.Tensor:
    """Of the completion, summed over its tokens."""
    ids = torch.tensor([row.input_ids])
    said = torch.log_softmax(model(input_ids=ids).logits[0, :-1].float(), -1)
    each = said.gather(1, ids[0, 1:, None])[:, 0]
    return each[row.prompt_length - 1 :].sum()


def published_loss(policy: Any, reference: Any, rows: list[tuple[Any, Any]], beta: float) -> float:
    """Equation 7 of arXiv 2305.18290, pair by pair and without padding."""
    with torch.no_grad():
        margins = [
            (log_probability(policy, good) - log_probability(reference, good))
            - (log_probability(policy, bad) - log_probability(reference, bad))
            for good, bad in rows
        ]
    losses = [-torch.nn.functional.logsigmoid(beta * margin) for margin in margins]
    return float(torch.stack(losses).mean())


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_loss_falls_from_that_of_equal_models_and_chosen_traces_gain(
    models: dict[str, Path], pairs: Path, tmp_path: Path, method: str
) -> None:
    manifest = train(settings(models["qwen3"], pairs, tmp_path / "run", method=method, max_steps=12))
    losses = logged(tmp_path / "run", "loss")
    assert losses[0] == pytest.approx(0.693147, abs=1e-5) and losses[-1] < 0.3
    assert logged(tmp_path / "run", "rewards/margins")[-1] > 1
    assert manifest.counts.model_dump(include={"rows", "kept"}) == {"rows": 10, "kept": 10}
    assert manifest.summary["sequences"] == 20 and manifest.summary["mix_id"] == read_mix(pairs).mix_id
    assert str(tmp_path) not in manifest.model_dump_json()
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    assert kept["config"]["dpo"] == {"beta": BETA} and kept["mix_id"] == manifest.summary["mix_id"]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_loss_of_a_step_is_the_published_one_to_1e_5(
    models: dict[str, Path], pairs: Path, tmp_path: Path, method: str
) -> None:
    whole = {
        "method": method,
        "per_device_train_batch_size": 10,
        "lr_scheduler_type": "constant",
        "learning_rate": 3e-4,
    }
    train(settings(models["qwen3"], pairs, tmp_path / "one", max_steps=1, **whole))
    train(settings(models["qwen3"], pairs, tmp_path / "two", max_steps=2, **whole))
    rendered = rendered_pairs(models["qwen3"], pairs)
    base, moved = (load_model(locate(str(place)), "float32") for place in (models["qwen3"], tmp_path / "one"))
    first, second = logged(tmp_path / "two", "loss")
    assert first == pytest.approx(published_loss(base, base, rendered, BETA), abs=1e-5)
    assert second == pytest.approx(published_loss(moved, base, rendered, BETA), abs=1e-5)
    assert abs(second - first) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_killed_run_goes_on_to_the_same_weights(
    models: dict[str, Path], pairs: Path, tmp_path: Path, method: str
) -> None:
    more = {"method": method, "max_steps": 8, "save_steps": 3}
    train(settings(models["qwen3"], pairs, tmp_path / "whole", **more))
    killed = settings(models["qwen3"], pairs, tmp_path / "killed", **more)
    path = tmp_path / "killed.yaml"
    path.write_text(json.dumps(killed.model_dump(mode="json")))
    kill_after_checkpoint(path, tmp_path / "killed")
    run(path)
    assert same(weights(tmp_path / "whole" / "model"), weights(tmp_path / "killed" / "model"))
    for name in ("loss", "num_tokens", "rewards/margins"):
        assert logged(tmp_path / "killed", name) == logged(tmp_path / "whole", name)


def test_lora_holds_one_model_and_full_training_frees_the_reference_before_it_starts(
    models: dict[str, Path], pairs: Path, tmp_path: Path
) -> None:
    from sft.training import trainer

    for method in ("lora", "full"):
        built = trainer.build(
            settings(models["qwen3"], pairs, tmp_path / method, method=method),
            load_model(locate(str(models["qwen3"])), "float32"),
            load_tokenizer(locate(str(models["qwen3"]))),
            rendered_pairs(models["qwen3"], pairs),
            tmp_path / method,
        )
        assert built.ref_model is None


def test_a_pair_with_a_trace_that_is_too_long_is_dropped_and_counted(
    models: dict[str, Path],
    pairable: Store,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    row, labels = trace(20, 0, True)
    long, more = trace(20, 1, False)
    long["reasoning"] += " I should decline, and say so." * 8
    pairable.append_rows("traces", [row, long])
    pairable.append_rows("annotations", labels + more)
    pairs_stage.run(pairable.root, pairs_stage.load("safe-over-risky"), out=tmp_path / "pairs")
    pairs, limit = tmp_path / "pairs", 100
    with pytest.raises(RenderError, match="fits into max_length"):
        train(settings(models["qwen3"], pairs, tmp_path / "strict", max_length=limit))
    done = train(
        settings(models["qwen3"], pairs, tmp_path / "run", max_length=limit, overlong="drop", max_steps=1)
    )
    assert (done.counts.rows, done.counts.kept, done.counts.filtered) == (11, 10, {"overlong": 1})


def test_pairs_are_no_mix_and_a_mix_is_no_pairs(
    models: dict[str, Path], pairs: Path, mix: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"pairs of a preferred and a rejected trace; set `dpo"):
        train(config(models["qwen3"], pairs, tmp_path / "run"))
    with pytest.raises(RecipeError, match="is a mix; make pairs with: curate build-pairs"):
        train(settings(models["qwen3"], mix, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("packing", {"packing": True}),
        ("padding_free", {"padding_free": True}),
        ("loss_on: all", {"loss_on": "all"}),
        ("lora_dropout", {"lora": {"lora_dropout": 0.1}}),
        ("presafe", {"presafe": {"decisions": "d.jsonl"}}),
    ],
)
def test_settings_that_dpo_would_ignore_are_refused_by_name(
    models: dict[str, Path], pairs: Path, tmp_path: Path, name: str, more: dict[str, Any]
) -> None:
    with pytest.raises(RecipeError, match=f"dpo: does not go with {name}"):
        train(settings(models["qwen3"], pairs, tmp_path / "run", **more))


def test_pairs_that_were_changed_or_come_from_an_older_version_are_refused(
    models: dict[str, Path], pairs: Path, tmp_path: Path
) -> None:
    lines = (pairs / folder.DPO).read_bytes().splitlines(keepends=True)
    (pairs / folder.DPO).write_bytes(b"".join(lines[1:]))
    with pytest.raises(DataError, match="changed after the build"):
        read_mix(pairs)
    (pairs / folder.DPO).write_bytes(b"".join(lines))
    assert len(read_mix(pairs).pairs) == 10
    (pairs / folder.TRACES).unlink()
    with pytest.raises(DataError, match="build them again"):
        read_mix(pairs)


def test_a_pair_whose_traces_answer_different_prompts_is_refused(
    models: dict[str, Path],
    pairable: Store,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    row, labels = trace(20, 1, False, content_id(["pair", 3, 0]))
    pairable.append_rows("traces", [row])
    pairable.append_rows("annotations", labels)
    pairs_stage.run(pairable.root, pairs_stage.load("repaired"), out=tmp_path / "pairs")
    with pytest.raises(DataError, match="a pair with different prompts"):
        train(settings(models["qwen3"], tmp_path / "pairs", tmp_path / "run"))


def test_check_proves_both_traces_of_each_pair_and_plan_counts_them(
    models: dict[str, Path], pairs: Path, tmp_path: Path
) -> None:
    checked = CliRunner().invoke(
        app, ["check", "--mix", str(pairs), "--model", str(models["qwen3"]), "--json"]
    )
    assert checked.exit_code == 0 and json.loads(checked.stdout)["rows"] == 20
    path = tmp_path / "run.yaml"
    told = settings(models["qwen3"], pairs, tmp_path / "run", max_steps=None, per_device_train_batch_size=2)
    path.write_text(json.dumps(told.model_dump(mode="json")))
    planned = CliRunner().invoke(app, ["plan", str(path), "--json"])
    assert planned.exit_code == 0 and json.loads(planned.stdout)["steps"] == 5
