"""The weighted loss is that of a hand-written loop, however rows are laid out and a step is cut; a resumed run goes on with its weights."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from transformers import TrainerCallback

from curation.engines.weights import load_model, locate
from schemas.errors import RecipeError
from sft.proof.check import prove
from sft.proof.render import IGNORED, RenderedRow
from sft.training import trainer
from sft.training.losses.anchored import ANCHORED
from sft.training.losses.weighted import WEIGHTS
from sft.training.stage import run, train
from tests.sft.conftest import make_row, sample_rows, write_mix
from tests.sft.training.presafe.test_supervision import metrics
from tests.sft.training.test_trainer import config, kill_after_checkpoint, same, weights

RULES: dict[str, Any] = {
    "rules": [{"of": "reasoning", "weight": 0.5}, {"of": "first_tokens", "tokens": 4, "weight": 0}, {"of": "answer", "weight": 3}]
}  # fmt: skip


class Step(NamedTuple):
    """What an optimiser step is made of."""

    loss: float
    gradients: dict[str, torch.Tensor]


class Gradients(TrainerCallback):
    """Keeps the gradients of the last step, before they are applied."""

    def __init__(self, model: Any) -> None:
        self.model, self.kept = model, dict[str, torch.Tensor]()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.kept = {name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}


def any_weights(rows: Sequence[RenderedRow]) -> list[list[float]]:
    """Weights that differ from token to token, 0 and below 1 among them."""
    draw = torch.Generator().manual_seed(3)
    return [(torch.randint(0, 5, (len(row.input_ids),), generator=draw) / 2).tolist() for row in rows]


def rendered(tokenizers: dict[str, Any]) -> list[RenderedRow]:
    return prove(tokenizers["own"], sample_rows(), 512).rendered


def step(
    models: dict[str, Path], tokenizers: dict[str, Any], out: Path, columns: dict[str, Any], **settings: Any
) -> Step:
    """One step over all rows."""
    once = {
        "max_steps": 1,
        "max_grad_norm": 1e9,
        "per_device_train_batch_size": 24,
        "token_weights": RULES,
        "max_length": 1024,
    }
    how = config(models["own"], out, out, **(once | settings))
    model = load_model(locate(str(models["own"])), "float32")
    built: Any = trainer.build(how, model, tokenizers["own"], rendered(tokenizers), out, of_tokens=columns)
    kept = Gradients(built.model)
    built.add_callback(kept)
    return Step(built.train().training_loss, kept.kept)


def by_hand(models: dict[str, Path], rows: Sequence[RenderedRow], weights: Sequence[Sequence[float]]) -> Step:
    """The same, row by row."""
    model = load_model(locate(str(models["own"])), "float32")
    losses, total = [], 0.0
    for row, weight in zip(rows, weights, strict=True):
        logits = model(input_ids=torch.tensor([row.input_ids])).logits[0]
        for place in range(1, len(row.labels)):
            if row.labels[place] != IGNORED and weight[place]:
                log_probs = torch.log_softmax(logits[place - 1].double(), -1)
                losses.append(-weight[place] * log_probs[row.labels[place]])
                total += weight[place]
    loss = torch.stack(losses).sum() / total
    loss.backward()
    return Step(
        loss.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    )


def differences(one: Step, other: Step) -> list[str]:
    found = [] if other.loss == pytest.approx(one.loss, rel=1e-6) else [f"loss {one.loss} {other.loss}"]
    return found + [
        name
        for name, gradient in one.gradients.items()
        if not torch.allclose(other.gradients[name], gradient, atol=1e-6, rtol=0)
    ]


LAYOUTS: dict[str, dict[str, Any]] = {
    "padded": {},
    "padding_free": {"padding_free": True},
    "packed": {"packing": True},
    "in micro-batches": {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 8},
    "packed in micro-batches": {
        "packing": True,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 24,
    },
    "with checkpointing": {"gradient_checkpointing": True},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_weighted_loss_and_gradient_are_those_of_a_hand_written_loop(
    models: dict[str, Path], tokenizers: dict[str, Any], tmp_path: Path, layout: str
) -> None:
    rows = rendered(tokenizers)
    drawn = any_weights(rows)
    found = step(models, tokenizers, tmp_path, {WEIGHTS: drawn}, **LAYOUTS[layout])
    assert differences(by_hand(models, rows, drawn), found) == []


def test_equal_weights_are_no_weights_and_a_weight_of_zero_is_no_label(
    models: dict[str, Path], tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    rows = rendered(tokenizers)
    plain = step(models, tokenizers, tmp_path / "plain", {}, token_weights=None)
    equal = [[0.25] * len(row.input_ids) for row in rows]
    assert differences(plain, step(models, tokenizers, tmp_path / "equal", {WEIGHTS: equal})) == []
    ends = [[0.0] * (len(row.input_ids) - 6) + [1.0] * 6 for row in rows]
    shorter = [row._replace(labels=[IGNORED] * (len(row.labels) - 6) + row.labels[-6:]) for row in rows]
    fewer = by_hand(models, shorter, [[1.0] * len(row.labels) for row in rows])
    assert differences(fewer, step(models, tokenizers, tmp_path / "ends", {WEIGHTS: ends})) == []


def test_weights_go_together_with_presafe_and_kl(
    models: dict[str, Path], tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    """Each adds to the loss what it would add alone."""
    rows = rendered(tokenizers)
    drawn, held = any_weights(rows), [[float(n % 2)] * len(row.input_ids) for n, row in enumerate(rows)]
    weighted = step(models, tokenizers, tmp_path / "one", {WEIGHTS: drawn})
    both = step(
        models, tokenizers, tmp_path / "both", {WEIGHTS: drawn, ANCHORED: held}, kl_to_base={"weight": 1.0}
    )
    assert differences(weighted, both) == []  # the model is the base itself at the first step


def train_weighted(models: dict[str, Path], mix: Path, out: Path, **settings: Any) -> Any:
    return train(config(models["own"], mix, out, token_weights=RULES, **settings))


def test_a_run_tells_what_its_rules_named_and_trains_otherwise_than_without(
    models: dict[str, Path], mix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(config(models["own"], mix, tmp_path / "plain"))
    told = train_weighted(models, mix, tmp_path / "run").summary["token_weights"]
    assert [rule["of"] for rule in told["rules"]] == ["reasoning", "first_tokens", "answer"]
    assert told["rules"][2]["rows"] == 24 and told["tokens_with_weight"] > 0
    assert not same(weights(tmp_path / "plain" / "model"), weights(tmp_path / "run" / "model"))
    assert "weight 3 for answer" in capsys.readouterr().err


def test_validation_is_measured_without_weights(models: dict[str, Path], tmp_path: Path) -> None:
    import pyarrow as pa

    from curation.corpus.store import write_parquet
    from curation.mix import folder
    from schemas.tables import ROWS

    mix = write_mix(tmp_path / "mix", sample_rows()[:16])
    table = pa.Table.from_pylist([row.model_dump() for row in sample_rows()[16:]], ROWS)
    write_parquet(mix / "data" / folder.VALIDATION_SHARD, table)
    how: dict[str, Any] = {"learning_rate": 1e-30, "max_steps": 1}
    plain = train(config(models["own"], mix, tmp_path / "plain", **how))
    weighted = train_weighted(models, mix, tmp_path / "run", **how)
    assert plain.summary["validation_loss"] == weighted.summary["validation_loss"]
    assert metrics(tmp_path / "plain", "loss") != metrics(tmp_path / "run", "loss")


def test_weights_want_the_last_turn_and_no_pairs(models: dict[str, Path], mix: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="token_weights: name parts of the last turn"):
        train_weighted(models, mix, tmp_path / "run", loss_on="all")


def test_another_file_of_ranges_is_another_run_and_its_path_is_in_no_manifest(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ranges.jsonl"
    row = make_row("x", "y", "z")
    line = {"trace_id": row.trace_id, "name": "mine", "field": "reasoning", "start": 0, "end": 1}
    path.write_text(json.dumps(line) + "\n")
    how = {"rules": [{"of": "ranges", "weight": 0}], "ranges": str(path)}
    manifest = train(config(models["own"], mix, tmp_path / "run", token_weights=how, max_steps=1))
    assert str(tmp_path) not in manifest.model_dump_json()
    path.write_text(json.dumps({**line, "name": "other"}) + "\n")
    with pytest.raises(RecipeError, match="different ranges"):
        train(config(models["own"], mix, tmp_path / "run", token_weights=how, max_steps=1))


@pytest.mark.slow
@pytest.mark.parametrize("packing", [False, True])
def test_a_killed_run_goes_on_with_its_weights(
    models: dict[str, Path], mix: Path, tmp_path: Path, packing: bool
) -> None:
    how: dict[str, Any] = {
        "max_steps": 8, "save_steps": 3, "packing": packing, "token_weights": RULES, "kl_to_base": {"kinds": ["harmful"]}
    }  # fmt: skip
    train(config(models["own"], mix, tmp_path / "whole", **how))
    path = tmp_path / "killed.yaml"
    path.write_text(
        json.dumps(config(models["own"], mix, tmp_path / "killed", **how).model_dump(mode="json"))
    )
    kill_after_checkpoint(path, tmp_path / "killed")
    run(path)
    assert same(weights(tmp_path / "whole" / "model"), weights(tmp_path / "killed" / "model"))
    assert metrics(tmp_path / "whole", "loss") == metrics(tmp_path / "killed", "loss")
