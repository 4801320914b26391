"""`sft probe`: a trained head tells prompts apart that it has not seen, a fresh one does not, and what is printed is what it read."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from curation.corpus.store import Store
from schemas.errors import DataError, RecipeError
from schemas.prompt import prompt_id
from sft.cli import app
from sft.scoring import readout
from sft.scoring.readout import HeadReading, auroc, read_out
from sft.training.stage import train
from tests.sft.scoring.test_stage import add_prompts
from tests.sft.training.presafe.test_supervision import BAD, GOOD, decided_mix, presafe
from tests.sft.training.test_trainer import config, weights

STRONG = {"weight": 1.0, "head_learning_rate": 1e-2}


@pytest.fixture
def decided(tmp_path: Path) -> dict[str, Any]:
    return decided_mix(tmp_path)


@pytest.fixture
def unseen(tmp_path: Path) -> Path:
    """Prompts of the same two kinds as PreSafe's tests train on, one half of the harmful ones under an attack."""
    found = []
    for number in range(100, 116):
        bad = number % 2 == 0
        text = f"Is it {BAD if bad else GOOD} to take the kite number {number}?"
        attack = "framed" if bad and number % 4 == 0 else None
        found.append(
            {
                "prompt_id": prompt_id(text),
                "text": text,
                "kind": "harmful" if bad else "benign",
                "attack": attack,
            }
        )
    corpus = Store.create(tmp_path / "eval")
    add_prompts(corpus, found)
    return tmp_path / "eval"


@pytest.mark.parametrize(("method", "position"), [("full", "last"), ("lora", "mean")])
def test_a_trained_head_parts_harmful_from_benign_prompts_it_has_not_seen(
    models: dict[str, Path],
    tmp_path: Path,
    decided: dict[str, Any],
    unseen: Path,
    method: str,
    position: str,
) -> None:
    how = {
        "presafe": STRONG | {"position": position},
        "method": method,
        "max_steps": 40,
        "learning_rate": 5e-3,
    }
    train(presafe(models, decided, tmp_path / "run", **how))
    shown = CliRunner().invoke(
        app,
        [
            "probe",
            str(tmp_path / "run"),
            "--corpus",
            str(unseen),
            "--out",
            str(tmp_path / "r.jsonl"),
            "--json",
        ],
    )
    assert shown.exit_code == 0
    found = json.loads(shown.stdout)
    assert found["auroc"] > 0.9 and found["low"] <= found["auroc"] <= found["high"]
    assert [(g["kind"], g["attack"], g["prompts"]) for g in found["groups"]] == [
        ("harmful", "framed", 4), ("harmful", "none", 4), ("benign", "none", 8),
    ]  # fmt: skip
    harmful, benign = found["groups"][1], found["groups"][2]
    assert harmful["low"] <= harmful["refusal"] <= harmful["high"] and benign["refusal"] < harmful["refusal"]
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert len(lines) == 16 and set(lines[0]) == {"prompt_id", "kind", "attack", "refusal"}
    assert "kite" not in (tmp_path / "r.jsonl").read_text()


def test_it_reads_what_training_read(
    models: dict[str, Path],
    tokenizers: dict[str, Any],
    tmp_path: Path,
    decided: dict[str, Any],
    unseen: Path,
) -> None:
    """The reading of a prompt alone is that of the same prompt in a training row."""
    from curation.engines.weights import load_model, load_tokenizer, locate
    from sft.proof.render import render
    from sft.training.presafe import Listener, load_head, pool

    train(presafe(models, decided, tmp_path / "run", presafe=STRONG, max_steps=10))
    place = locate(str(tmp_path / "run"))
    model, tokenizer = load_model(place, "float32").eval(), load_tokenizer(place)
    head, where = load_head(tmp_path / "run")
    text = f"Is it {BAD} to take the kite number 100?"
    row = render(tokenizer, text, "Let me think.", "No.")
    listener = Listener(model, where["layer"])
    with torch.no_grad():
        model(input_ids=torch.tensor([row.input_ids]))
        wanted = torch.sigmoid(head(pool(listener.take(), torch.tensor([row.labels]), None, "last"))).item()
    prompt = {"prompt_id": "a", "text": text, "kind": "harmful", "attack": None}
    [found] = readout.read_prompts(model, tokenizer, head, where, [prompt])
    assert found.refusal == pytest.approx(wanted, abs=1e-5)


def test_a_detached_head_at_no_learning_rate_is_a_probe_of_the_frozen_base(
    models: dict[str, Path],
    tmp_path: Path,
    decided: dict[str, Any],
    unseen: Path,
) -> None:
    how = {"presafe": {"detach": True, "head_learning_rate": 1e-2}, "learning_rate": 1e-30, "max_steps": 40}
    train(presafe(models, decided, tmp_path / "probe", **how))
    base, after = weights(models["own"]), weights(tmp_path / "probe" / "model")
    assert all(torch.allclose(base[name], after[name], atol=1e-25, rtol=0) for name in base)
    assert readout.read(tmp_path / "probe", unseen).auroc is not None


def test_the_auroc_is_that_of_scikit_learn_ties_included() -> None:
    import numpy as np
    from sklearn.metrics import roc_auc_score

    draw = np.random.default_rng(0)
    positive, negative = draw.integers(0, 5, 30) + 1, draw.integers(0, 5, 40)
    truth = [1] * 30 + [0] * 40
    assert auroc(positive, negative) == pytest.approx(roc_auc_score(truth, [*positive, *negative]))


def test_one_kind_alone_has_no_auroc() -> None:
    found = read_out([HeadReading("a", "harmful", "none", 0.9), HeadReading("b", "harmful", "none", 0.7)])
    assert (found.auroc, found.groups[0].refusal) == (None, pytest.approx(0.8))


def test_says_what_is_missing(models: dict[str, Path], mix: Path, tmp_path: Path, unseen: Path) -> None:
    train(config(models["own"], mix, tmp_path / "plain", max_steps=1))
    with pytest.raises(DataError, match="has no safety head"):
        readout.read(tmp_path / "plain", unseen)


def test_an_empty_corpus_is_named(models: dict[str, Path], decided: dict[str, Any], tmp_path: Path) -> None:
    train(presafe(models, decided, tmp_path / "run", max_steps=1))
    Store.create(tmp_path / "empty")
    with pytest.raises(RecipeError, match="no prompts of kind"):
        readout.read(tmp_path / "run", tmp_path / "empty")
