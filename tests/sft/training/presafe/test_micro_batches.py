"""One optimiser step is the same step, however its rows are cut into micro-batches."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from transformers import TrainerCallback

from curation.engines.weights import load_model, locate
from sft.proof.check import prove
from sft.training import trainer
from tests.sft.training.presafe.test_supervision import BAD, rows
from tests.sft.training.test_trainer import config

DECIDED = 4
"""Of 24 rows, as where the fault was found: the weight of few decisions hung on the micro-batch."""


class Step(NamedTuple):
    """What an optimiser step is made of."""

    loss: float
    gradients: dict[str, torch.Tensor]


class Gradients(TrainerCallback):
    """Keeps the gradients of the last step, before they are applied."""

    def __init__(self, built: Any) -> None:
        self.built, self.kept = built, dict[str, torch.Tensor]()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        named = [*self.built.model.named_parameters(), *self.built.head.named_parameters(prefix="head")]
        self.kept = {name: p.grad.clone() for name, p in named if p.grad is not None}


def step(
    models: dict[str, Path], tokenizers: dict[str, Any], out: Path, size: int, times: int, **settings: Any
) -> Step:
    """One step over all rows, as `times` micro-batches of `size`."""
    how = config(
        models["own"], out, out, max_steps=1, max_grad_norm=1e9, per_device_train_batch_size=size,
        gradient_accumulation_steps=times, presafe={"decisions": "d", "weight": 1.0}, **settings,
    )  # fmt: skip
    proof = prove(tokenizers["own"], rows(), 512)
    refused = [float(BAD in row.prompt) if n < DECIDED else float("nan") for n, row in enumerate(proof.kept)]
    model = load_model(locate(str(models["own"])), "float32").double()  # rounding differs with the processor
    built: Any = trainer.build(how, model, tokenizers["own"], proof.rendered, out, refused)
    weight = torch.linspace(-1, 1, built.head.linear.weight.numel())
    built.head.linear.weight.data.copy_(weight[None])
    kept = Gradients(built)
    built.add_callback(kept)
    return Step(built.train().training_loss, kept.kept)


def differences(one: Step, other: Step) -> list[str]:
    """What of two steps is not equal to 1e-6."""
    found = [] if other.loss == pytest.approx(one.loss, rel=1e-6) else ["loss"]
    return found + [
        name
        for name, gradient in one.gradients.items()
        if not torch.allclose(other.gradients[name], gradient, atol=1e-6, rtol=0)
    ]


@pytest.mark.parametrize("laid_out", ["padded", "padding_free"])
@pytest.mark.parametrize(("size", "times"), [(4, 6), (1, 24)])
def test_a_step_is_the_same_whatever_the_micro_batch(
    models: dict[str, Path], tokenizers: dict[str, Any], tmp_path: Path, size: int, times: int, laid_out: str
) -> None:
    how = {} if laid_out == "padded" else {laid_out: True}
    whole = step(models, tokenizers, tmp_path / "whole", 24, 1)
    assert "head.linear.weight" in whole.gradients
    assert differences(whole, step(models, tokenizers, tmp_path / "cut", size, times, **how)) == []


def test_a_step_of_packed_rows_is_that_of_the_rows(
    models: dict[str, Path], tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    whole = step(models, tokenizers, tmp_path / "whole", 24, 1)
    longest = max(len(row.input_ids) for row in prove(tokenizers["own"], rows(), 512).rendered)
    length = longest * 3 + 2
    sequences = [
        step(models, tokenizers, tmp_path / str(n), n, 32 // n, packing=True, max_length=length)
        for n in (1, 8)
    ]
    assert [differences(whole, packed) for packed in sequences] == [[], []]
