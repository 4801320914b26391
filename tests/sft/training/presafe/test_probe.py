"""The regression on hidden states: the right one, measured on prompts it has not seen, from the states that the head reads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curation.engines.weights import load_model, locate
from sft.proof.render import render
from sft.training.presafe.head import Listener, layers_of, pool
from sft.training.presafe.probe import fit, prompt_states
from tests.sft.training.presafe.test_supervision import rows


def planted(prompts: int, width: int, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
    """States in which the first ten dimensions carry the decision."""
    draw = torch.Generator().manual_seed(0)
    refused = (torch.arange(prompts) % 2).float()
    states = torch.randn(prompts, width, generator=draw)
    states[:, :10] += strength * (2 * refused - 1)[:, None]
    return states * 3 + 5, refused


def test_the_regression_is_that_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    states, refused = planted(200, 12, 0.3)
    found = fit(states, refused)
    spread, mean = states.double().std(0), states.double().mean(0)
    wanted = LogisticRegression(C=1 / (200 * found.ridge), tol=1e-10, max_iter=10_000)
    wanted.fit(((states - mean) / spread).numpy(), refused.numpy())
    ours = found.odds(states).numpy()
    assert ours == pytest.approx(wanted.decision_function(((states - mean) / spread).numpy()), abs=1e-3)


def test_a_decision_that_is_there_is_found_and_one_that_is_not_is_not() -> None:
    there, refused = planted(200, 300, 1.0)
    nothing, _ = planted(200, 300, 0.0)
    found, guessed = fit(there, refused), fit(nothing, refused)
    assert found.auroc is not None and found.auroc > 0.95 and found.loss is not None and found.loss < 0.4
    assert (
        guessed.auroc is not None and 0.3 < guessed.auroc < 0.7
    )  # though 300 dimensions fit 200 prompts perfectly
    assert guessed.loss is not None and guessed.loss > 0.65 and guessed.ridge > found.ridge


def test_soft_decisions_are_fitted_to_as_probabilities() -> None:
    states = torch.ones(40, 3)
    found = fit(states, torch.tensor([0.9, 0.9, 0.9, 0.1]).repeat(10))
    assert torch.sigmoid(found.odds(states)).numpy() == pytest.approx(np.full(40, 0.7), abs=1e-3)


def test_too_few_prompts_have_no_figures() -> None:
    states, _ = planted(6, 4, 1.0)
    for decisions in ([1.0, 0, 0, 0, 0, 0], [1.0] * 6):
        found = fit(states, torch.tensor(decisions))
        assert (found.auroc, found.loss) == (None, None)


@pytest.mark.parametrize("position", ["last", "mean"])
def test_prompts_alone_have_the_states_that_training_reads(
    models: dict[str, Path], tokenizers: dict[str, Any], position: str
) -> None:
    model = load_model(locate(str(models["own"])), "float32")
    rendered = [render(tokenizers["own"], row.prompt, row.reasoning, row.answer) for row in rows(5)]
    model.train()
    random = torch.random.get_rng_state()
    layers = layers_of(model)
    found = prompt_states(model, [r.input_ids[: r.prompt_length] for r in rendered], layers, position)
    assert layers == [0, -1] and model.training and torch.equal(random, torch.random.get_rng_state())
    for layer in layers:
        listener = Listener(model, layer)
        for number, row in enumerate(rendered):
            with torch.no_grad():
                model(input_ids=torch.tensor([row.input_ids]))
            wanted = pool(listener.take(), torch.tensor([row.labels]), None, position)[0]
            assert torch.allclose(found[layer][number], wanted, atol=1e-5)
        listener.close()
