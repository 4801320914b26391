"""A weight for each token: loss = sum of weight x negative log likelihood over the sum of weights, of the whole optimiser step.

With equal weights that is the usual mean, and a weight of 0 is as if the token had no label. The surprise: the trainer's own arithmetic is
kept (its division by the step's tokens, the processes, experts' losses); what reaches it are log probabilities times weights that have been
brought to a mean of 1 over the step.
"""

from collections.abc import Mapping
from typing import Any

import torch

from sft.proof.render import IGNORED
from sft.training.losses.columns import StepTotals

WEIGHTS = "token_weights"
"""Column with a weight for each token; those of the prompt do not count."""


class WeightedLoss(StepTotals):
    """A mixin before the trainer's class, configured by `weigh`."""

    def weigh(self: Any) -> None:
        """Weigh tokens by their column; batches without it, as those of validation, are measured unweighted."""
        self.keep_columns(of_tokens=[WEIGHTS])
        self.count_in_steps(WEIGHTS, summed)
        self.count_in_steps("tokens", lambda batch: learned(batch["labels"]).sum())

    def compute_loss(
        self: Any,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The trainer's own loss on weighted log probabilities."""
        weights = inputs.get(WEIGHTS)
        if weights is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]
        if num_items_in_batch is None:  # the trainer takes the mean of each micro-batch
            scale = learned(inputs["labels"]).sum() / summed(inputs).clamp(min=1e-12)
        else:
            scale = self.total("tokens", inputs) / self.total(WEIGHTS, inputs)
        inputs = {name: value for name, value in inputs.items() if name != WEIGHTS}
        weighted = _weighted(model, weights[:, 1:] * scale)
        return super().compute_loss(weighted, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]


def learned(labels: torch.Tensor) -> torch.Tensor:
    """Which tokens are predicted: (sequences, tokens) -> (sequences, tokens - 1)."""
    return labels[:, 1:] != IGNORED


def summed(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The sum of the weights of a batch's predicted tokens."""
    return (batch[WEIGHTS][:, 1:] * learned(batch["labels"])).sum()


def _weighted(model: Any, weights: torch.Tensor) -> Any:
    """The model, with its log probabilities multiplied by weights (sequences, tokens - 1)."""

    def forward(*arguments: Any, **named: Any) -> Any:
        outputs = model(*arguments, **named)
        if getattr(outputs, "log_probs", None) is not None:
            outputs.log_probs = outputs.log_probs * weights
        return outputs

    return forward
