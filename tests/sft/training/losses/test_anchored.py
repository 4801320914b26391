"""KL to the base: that of a hand-written loop on the rows it is about, whatever the layout, and 0 where nothing has been learned."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from curation.engines.weights import load_model, locate
from schemas.errors import RecipeError, RenderError
from sft.proof.render import IGNORED, RenderedRow
from sft.training import trainer
from sft.training.losses.anchored import ANCHORED
from sft.training.stage import train
from tests.sft.conftest import sample_rows, write_mix
from tests.sft.training.losses.test_weighted import Gradients, rendered
from tests.sft.training.presafe.test_supervision import metrics
from tests.sft.training.test_trainer import config, same, weights


def moved(models: dict[str, Path]) -> Any:
    """The model, and as much of a change as a few steps make."""
    model = load_model(locate(str(models["own"])), "float32")
    draw = torch.Generator().manual_seed(1)
    changes = {name: 0.05 * torch.randn(p.shape, generator=draw) for name, p in model.named_parameters()}
    return model, changes


def change(model: Any, changes: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter += changes[name]


def by_hand(
    models: dict[str, Path], rows: Sequence[RenderedRow], held: Sequence[bool]
) -> tuple[float, dict[str, torch.Tensor]]:
    """Mean KL(base || model) over the learned tokens of held rows, and its gradient."""
    base = load_model(locate(str(models["own"])), "float32")
    model, changes = moved(models)
    change(model, changes)
    found = []
    for row, is_held in zip(rows, held, strict=True):
        if not is_held:
            continue
        ids = torch.tensor([row.input_ids])
        own = torch.log_softmax(model(input_ids=ids).logits[0].double(), -1)
        with torch.no_grad():
            was = torch.log_softmax(base(input_ids=ids).logits[0].double(), -1)
        places = [n - 1 for n in range(1, len(row.labels)) if row.labels[n] != IGNORED]
        found += [(was[n].exp() * (was[n] - own[n])).sum() for n in places]
    loss = torch.stack(found).mean()
    loss.backward()
    return loss.item(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "layout",
    [
        {}, {"padding_free": True}, {"packing": True, "max_length": 1024},
        {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 8},
    ],
)  # fmt: skip
def test_the_divergence_and_its_gradient_are_those_of_a_hand_written_loop(
    models: dict[str, Path], tokenizers: dict[str, Any], tmp_path: Path, layout: dict[str, Any]
) -> None:
    """The gradient of a run with the divergence less that of one without; weights of 0 leave only the divergence."""
    rows = rendered(tokenizers)
    held = [n % 3 == 0 for n in range(len(rows))]
    wanted, gradient = by_hand(models, rows, held)
    how = {
        "max_steps": 1,
        "max_grad_norm": 1e9,
        "per_device_train_batch_size": 24,
        "kl_to_base": {"weight": 1.0},
    }
    model, changes = moved(models)
    settings = config(models["own"], tmp_path, tmp_path, **(how | layout))
    columns = {ANCHORED: [[float(h)] * len(row.input_ids) for h, row in zip(held, rows, strict=True)]}
    found = {}
    for name in ("with", "without"):
        model, changes = moved(models)
        own = settings if name == "with" else settings.model_copy(update={"kl_to_base": None})
        built: Any = trainer.build(
            own, model, tokenizers["own"], rows, tmp_path / name, of_tokens=columns if name == "with" else {}
        )
        change(built.model, changes)  # after the base has been kept
        kept = Gradients(built.model)
        built.add_callback(kept)
        found[name] = (built.train().training_loss, kept.kept)
        if name == "with":
            (logged,) = [e["kl_to_base"] for e in built.state.log_history if "kl_to_base" in e]
    assert wanted > 0.05 and logged == pytest.approx(wanted, rel=1e-5)
    assert found["with"][0] - found["without"][0] == pytest.approx(wanted, abs=1e-5)
    for name, one in gradient.items():
        assert torch.allclose(found["with"][1][name] - found["without"][1][name], one, atol=1e-5), name


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_heavy_divergence_keeps_the_held_rows_as_the_base_had_them(
    models: dict[str, Path], tmp_path: Path, method: str
) -> None:
    rows = [
        row.model_copy(update={"kind": ("harmful", "benign")[n % 2]}) for n, row in enumerate(sample_rows())
    ]
    mix = write_mix(tmp_path / "mix", rows)
    how: dict[str, Any] = {
        "method": method,
        "max_steps": 12,
        "learning_rate": 5e-3,
        "per_device_train_batch_size": 8,
    }
    last = {}
    for name, weight in (("light", 1e-6), ("heavy", 20.0)):
        manifest = train(config(models["own"], mix, tmp_path / name, kl_to_base={"weight": weight}, **how))
        found = metrics(tmp_path / name, "kl_to_base")
        assert found[0] == pytest.approx(0, abs=1e-6) and manifest.summary["kl_to_base"] == {"rows": 12}
        last[name] = found[-1]
    assert 0 < last["heavy"] < last["light"] / 3


def test_without_its_weight_training_is_as_without(
    models: dict[str, Path], mix: Path, tmp_path: Path
) -> None:
    train(config(models["own"], mix, tmp_path / "plain", method="lora"))
    light = {"weight": 1e-30, "kinds": ["harmful"]}
    train(config(models["own"], mix, tmp_path / "light", method="lora", kl_to_base=light))
    assert same(weights(tmp_path / "plain" / "model"), weights(tmp_path / "light" / "model"))


def test_a_mix_without_such_rows_is_an_error(models: dict[str, Path], mix: Path, tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="no row of the mix is of kind benign, math, code"):
        train(config(models["own"], mix, tmp_path / "run", kl_to_base={"weight": 0.1}))


def test_a_model_that_caps_its_logits_is_refused(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    shape: dict[str, Any] = {
        "vocab_size": 1100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "final_logit_softcapping": 0.1,
    }  # fmt: skip
    model: Any = Gemma2ForCausalLM(Gemma2Config(**shape))
    settings = config(tmp_path, tmp_path, tmp_path, kl_to_base={"weight": 1.0})
    rows = rendered(tokenizers)
    columns = {ANCHORED: [[1.0] * len(row.input_ids) for row in rows]}
    with pytest.raises(RecipeError, match="scales or caps its logits"):
        trainer.build(settings, model, tokenizers["own"], rows, tmp_path, of_tokens=columns)
