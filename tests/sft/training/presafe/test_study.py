"""What a run with PreSafe tells: teacher, paths, probe before and after, the head's share of the gradient."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from curation.engines.weights import load_model, locate
from schemas.row import Row
from sft.proof.check import prove
from sft.training import trainer
from sft.training.inspect import write_page
from sft.training.presafe.study import paths, teacher
from sft.training.presafe.supervision import gradient_share
from sft.training.stage import train
from tests.sft.conftest import make_row, write_mix
from tests.sft.training.presafe.test_supervision import BAD, decide, decided_mix, metrics, presafe, rows
from tests.sft.training.test_trainer import config


@pytest.fixture
def setting(tmp_path: Path) -> dict[str, Any]:
    return decided_mix(tmp_path)


def told(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "manifest.json").read_text())["summary"]["presafe"]
    return found


def mixed_rows() -> list[Row]:
    """Both paths of the paper, and one row that is on neither."""
    kinds = ["harmful", "harmful", "benign", "benign"]
    said = [("", "No."), ("Let me think.", "No."), ("Step by step.", "Yes."), ("", "Yes.")]
    return [
        make_row(f"Question {n}?", reasoning, answer, n).model_copy(update={"kind": kind})
        for n, (kind, (reasoning, answer)) in enumerate(zip(kinds, said, strict=True))
    ]


def test_rows_are_counted_by_the_path_they_take() -> None:
    assert paths(mixed_rows(), [1.0, 0.8, 0.1, 0.0]) == {
        "refused_without_reasoning": 1, "refused_with_reasoning": 1, "answered_with_reasoning": 1, "answered_without_reasoning": 1,
    }  # fmt: skip
    assert sum(paths(mixed_rows(), [1.0, float("nan"), float("nan"), 0.0]).values()) == 2


def test_the_teachers_refusals_are_counted_by_prompt_and_kind_with_their_coverage() -> None:
    both = [*mixed_rows(), *mixed_rows()]
    decisions = [1.0, float("nan"), 0.0, 1.0]
    assert teacher(both, decisions * 2) == {
        "prompts": 4, "decided": 3, "refused": 0.6667, "harmful": 1.0, "benign": 0.5
    }  # fmt: skip
    assert teacher(both, [float("nan")] * 8)["refused"] is None


def test_the_run_tells_teacher_paths_and_probe_before_and_after(
    models: dict[str, Path], setting: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(presafe(models, setting, tmp_path / "run", presafe={"weight": 1.0}))
    found = told(tmp_path / "run")
    assert found["teacher"] == {"prompts": 24, "decided": 24, "refused": 0.5, "harmful": 0.5}
    assert found["paths"]["refused_with_reasoning"] == 12 and found["layer"] == -1
    assert 0.5 < found["before"]["auroc"] <= 1 and found["after"]["loss"] is not None
    assert len(found["gradient_share"]) == 2
    write_page(tmp_path / "run", out=tmp_path / "run.html")
    page = (tmp_path / "run.html").read_text()
    assert "24 of 24" in page and "AUROC of a probe on layer -1 after training" in page
    said = capsys.readouterr().err
    assert "the teacher refuses 50% of 24 prompts" in said and "the head's share of the gradient norm" in said


def test_validation_prompts_have_a_figure_of_their_own(models: dict[str, Path], tmp_path: Path) -> None:
    import pyarrow as pa

    from curation.corpus.store import write_parquet
    from curation.mix import folder
    from schemas.tables import ROWS

    mix = write_mix(tmp_path / "mix", rows())
    unseen = rows(12, start=100)
    table = pa.Table.from_pylist([row.model_dump() for row in unseen], ROWS)
    write_parquet(mix / "data" / folder.VALIDATION_SHARD, table)
    setting = {"mix": mix, "decisions": str(decide([*rows(), *unseen], tmp_path / "d.jsonl"))}
    train(presafe(models, setting, tmp_path / "run"))
    before = told(tmp_path / "run")["before"]
    assert before["validation_prompts"] == 12 and 0.5 < before["validation_auroc"] <= 1


def test_a_warm_head_is_right_from_the_first_step_and_gives_the_model_a_gradient_then(
    models: dict[str, Path], setting: dict[str, Any], tmp_path: Path
) -> None:
    first = {}
    for name, warm in (("warm", True), ("cold", False)):
        how = {"weight": 1.0, "warm_start": warm}
        train(presafe(models, setting, tmp_path / name, presafe=how, max_steps=1, max_grad_norm=1e9))
        first[name] = {
            key: metrics(tmp_path / name, key)[0]
            for key in ("presafe_loss", "presafe_accuracy", "presafe_gradient_share")
        }
    assert first["cold"]["presafe_gradient_share"] == 0 < first["warm"]["presafe_gradient_share"]
    assert first["warm"]["presafe_loss"] < 0.1 and first["warm"]["presafe_accuracy"] == 1


def test_the_best_layer_is_that_of_least_loss_and_the_head_reads_it(
    models: dict[str, Path], setting: dict[str, Any], tmp_path: Path
) -> None:
    train(presafe(models, setting, tmp_path / "run", presafe={"layer": "best"}))
    found = told(tmp_path / "run")
    losses = {int(layer): loss for layer, (_, loss) in found["layers"].items()}
    assert losses.keys() == {0, -1} and losses[found["layer"]] == min(losses.values())
    where = json.loads((tmp_path / "run" / "safety_head.json").read_text())
    assert where == {"layer": found["layer"], "position": "last"}


class Rates(TrainerCallback):
    """Keeps the learning rates of the first and the last parameter group."""

    def __init__(self) -> None:
        self.kept: list[tuple[float, float]] = []

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any
    ) -> None:
        groups = optimizer.param_groups
        self.kept.append((groups[0]["lr"], groups[-1]["lr"]))


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_heads_learning_rate_is_constant_whatever_the_models_schedule(
    models: dict[str, Path], tokenizers: dict[str, Any], tmp_path: Path, schedule: str
) -> None:
    how = config(
        models["own"], tmp_path, tmp_path, max_steps=5, warmup_steps=2, lr_scheduler_type=schedule,
        presafe={"decisions": "d", "head_learning_rate": 2e-3},
    )  # fmt: skip
    proof = prove(tokenizers["own"], rows(8), 512)
    refused = [float(BAD in row.prompt) for row in proof.kept]
    model = load_model(locate(str(models["own"])), "float32")
    built: Any = trainer.build(how, model, tokenizers["own"], proof.rendered, tmp_path, refused)
    rates = Rates()
    built.add_callback(rates)
    built.train()
    assert [head for _, head in rates.kept] == [2e-3] * 5
    assert len({model for model, _ in rates.kept}) > 1


def norm(gradients: Sequence[torch.Tensor]) -> float:
    return sum(float((g**2).sum()) for g in gradients) ** 0.5


def test_the_share_is_of_the_norms_of_both_losses_gradients() -> None:
    weight, other = torch.tensor([3.0, 4.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    auxiliary, own = 2 * weight.sum(), (weight**2).sum() + other.sum()
    share = gradient_share(auxiliary, own, [weight, other])
    a, s = norm([torch.tensor([2.0, 2.0])]), norm([torch.tensor([6.0, 8.0]), torch.tensor([1.0])])
    assert share.item() == pytest.approx(a / (a + s))
    (auxiliary + own).backward()
    assert weight.grad is not None and torch.equal(weight.grad, torch.tensor([8.0, 10.0]))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_share_is_logged_twenty_times_a_run_and_not_for_a_detached_head(
    models: dict[str, Path], setting: dict[str, Any], tmp_path: Path, checkpointing: bool
) -> None:
    how: dict[str, Any] = {"max_steps": 40, "gradient_checkpointing": checkpointing}
    train(presafe(models, setting, tmp_path / "run", presafe={"weight": 1.0}, **how))
    train(presafe(models, setting, tmp_path / "probe", presafe={"detach": True}, **how))
    shares = metrics(tmp_path / "run", "presafe_gradient_share")
    assert len(shares) == 20 and all(0 < share < 1 for share in shares)
    assert metrics(tmp_path / "probe", "presafe_gradient_share") == []
