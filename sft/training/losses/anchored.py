"""KL to the untrained model on some rows, so that what they teach stays as it was (after ThinkSafe, arXiv 2601.23143, for benign rows).

loss += weight x mean over the rows' learned tokens of KL(base || model), of the whole optimiser step. It takes one forward pass of the base
more, on sequences with such rows only. The surprise: no second model is loaded for adapters, whose base is the model without them; full
training keeps a frozen copy.
"""

import copy
from collections import defaultdict
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch

from schemas.errors import RecipeError
from sft.training.config import KlToBase
from sft.training.losses.columns import StepTotals
from sft.training.losses.weighted import learned
from sft.training.presafe.head import Listener, backbone_of

ANCHORED = "anchored"
"""Column: 1 for the tokens of rows that are held to the base, else 0."""
CHUNK = 512
"""Tokens whose logits of both models are in memory at a time."""
TOLERANCE = 1e-3


class AnchoredLoss(StepTotals):
    """A mixin before the trainer's class, configured by `anchor`."""

    def anchor(self: Any, settings: KlToBase) -> None:
        """Hold rows to the model as it is now.

        Raises:
            RecipeError: under FSDP and DeepSpeed, and for models that do more to their logits than a linear head.
        """
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise RecipeError(
                "kl_to_base: trains on one device or under DDP; choose another accelerate config"
            )
        model = self.accelerator.unwrap_model(self.model)
        _require_linear_head(model)
        self._weight = settings.weight
        self._copy = None if hasattr(model, "disable_adapter") else frozen(model, bool(self.args.bf16))
        self._last_states = Listener(model, -1)
        self._divergences: Any = defaultdict(list)
        self.keep_columns(of_tokens=[ANCHORED])
        self.count_in_steps(ANCHORED, lambda batch: _chosen(batch).sum())

    def compute_loss(
        self: Any,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of what comes after, plus the weighted divergence; none is measured on batches without the column."""
        if ANCHORED not in inputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]
        chosen, total = _chosen(inputs), self.total(ANCHORED, inputs)
        inputs = {name: value for name, value in inputs.items() if name != ANCHORED}
        self._last_states.states = None
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]
        divergence = self._divergence(self._last_states.take(), inputs, chosen)
        self._divergences["kl_to_base"].append(torch.stack([divergence.detach(), chosen.sum()]))
        added = self._weight * self.scale(num_items_in_batch) * divergence / total
        return (loss[0] + added, loss[1]) if return_outputs else loss + added

    def _divergence(
        self: Any, states: torch.Tensor, inputs: dict[str, Any], chosen: torch.Tensor
    ) -> torch.Tensor:
        """KL(base || model) in nats, summed over the chosen tokens."""
        rows = chosen.any(1)
        if not rows.any():
            return 0.0 * states.sum()
        model = self.accelerator.unwrap_model(self.model)
        base = self._copy or model
        of_base = {
            name: value[rows] if torch.is_tensor(value) and len(value) == len(rows) > 1 else value
            for name, value in inputs.items()
            if name not in ("labels", "use_cache", "output_router_logits")
        }
        with torch.no_grad(), nullcontext() if self._copy else model.disable_adapter():
            was = backbone_of(base)(**of_base, use_cache=False).last_hidden_state
        self._last_states.states = None  # the listener has heard the base as well
        own, before = states[:, :-1][chosen], was[:, :-1][chosen[rows]]
        head, base_head = model.get_output_embeddings(), base.get_output_embeddings()
        return _divergence(own, before, head, base_head)

    def log(self: Any, logs: dict[str, float], *more: Any, **named: Any) -> None:
        """Log with the mean divergence per token since the last log."""
        if self.model.training and (found := self._divergences.pop("kl_to_base", [])):
            divergence, tokens = self.accelerator.reduce(torch.stack(found).sum(0)).tolist()
            if tokens:
                self._metrics["train"]["kl_to_base"] = [divergence / tokens]
        super().log(logs, *more, **named)  # type: ignore[misc]


def _chosen(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return (batch[ANCHORED][:, 1:] > 0) & learned(batch["labels"])


def _divergence(own: torch.Tensor, before: torch.Tensor, head: Any, base_head: Any) -> torch.Tensor:
    """KL(base || model) summed over tokens: (tokens, width) twice -> ().

    Each piece's gradient is taken at once, while its logits are there; computing them again in the backward pass would take both heads
    twice. What is returned has the value, and these gradients as its own.
    """
    learning = [one for one in head.parameters() if one.requires_grad]
    value, of_states = own.new_zeros((), dtype=torch.float32), list[torch.Tensor]()
    of_head = [torch.zeros_like(one) for one in learning]
    for at in range(0, len(own), CHUNK):
        states = own[at : at + CHUNK].detach().requires_grad_()
        with torch.enable_grad():
            found = _kl(states, before[at : at + CHUNK], head, base_head)
        first, *others = torch.autograd.grad(found, [states, *learning])
        value, of_states = value + found.detach(), [*of_states, first]
        for sum_, other in zip(of_head, others, strict=True):
            sum_ += other
    for one, gradient in zip([own, *learning], [torch.cat(of_states), *of_head], strict=True):
        value = value + ((one - one.detach()) * gradient).sum()
    return value


def _kl(own: torch.Tensor, before: torch.Tensor, head: Any, base_head: Any) -> torch.Tensor:
    with torch.no_grad():
        wanted = torch.log_softmax(base_head(before.to(base_head.weight.dtype)).float(), -1)
    found = torch.log_softmax(head(own).float(), -1)
    return (wanted.exp() * (wanted - found)).sum()


def frozen(model: Any, bf16: bool) -> Any:
    """A copy of the model that is not trained, in the precision that it is used in."""
    kept = copy.deepcopy(model).requires_grad_(False).eval()
    return kept.to(torch.bfloat16) if bf16 else kept


def _require_linear_head(model: Any) -> None:
    """Reject models whose logits are not their head's output on the last state (scaled or capped ones)."""
    ids = torch.arange(1, 9, device=model.device)[None] % model.config.get_text_config().vocab_size
    training = model.training
    with torch.no_grad():
        wanted = model(input_ids=ids, use_cache=False).logits.float()
        states = backbone_of(model)(input_ids=ids, use_cache=False).last_hidden_state
        found = model.get_output_embeddings()(states).float()
    model.train(training)
    if float((found - wanted).abs().max()) > TOLERANCE * (float(wanted.std()) or 1.0):
        raise RecipeError(
            f"kl_to_base: this {model.config.model_type} scales or caps its logits, which the divergence does not; leave it out"
        )
