"""PreSafe's auxiliary supervision (arXiv 2603.17368): a linear head predicts the safety decision from the state before the reasoning.

loss = SFT + weight x BCE(head(state), the teacher's decision), a mean over the decided rows of the whole optimiser step, however it is
cut into micro-batches and processes. The gradient flows into the model, the head is discarded, and the exported model is a standard
one. What the paper leaves open is configurable; the defaults are ours: last layer, last prompt token, soft labels, weight 0.2 (as
SafeKey, its closest relative).
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from schemas.errors import DataError, RecipeError
from sft.training.config import PresafeConfig
from sft.training.losses.columns import StepTotals
from sft.training.presafe.head import Head, Listener, load_head, pool, save_head

COLUMN = "refused"
"""Column with the teacher's decision for each row of a sequence; NaN if there is none."""
SHARES = 20
"""How often in a run the head's share of the gradient is measured; each time takes two more backward passes of one micro-batch."""


def targets(
    prompt_ids: Sequence[str], decisions: Mapping[str, float], settings: PresafeConfig
) -> list[float]:
    """The teacher's decision for each row, 0 to 1; NaN if it has none.

    Raises:
        DataError: if no row has one.
    """
    probabilities = [decisions.get(key, float("nan")) for key in prompt_ids]
    if all(value != value for value in probabilities):
        raise DataError(
            f"{settings.decisions}: has no decision for any prompt of the mix; make them from the mix's corpus with: curate decide"
        )
    if settings.labels == "hard":
        probabilities = [value if value != value else float(value >= 0.5) for value in probabilities]
    return probabilities


class AuxiliaryHead(StepTotals):
    """PreSafe's part of a trainer; a mixin before the trainer's class, configured by `supervise`."""

    head: Head

    def supervise(self: Any, settings: PresafeConfig) -> None:
        """Add the head, its optimiser group and its loss.

        Raises:
            RecipeError: under FSDP and DeepSpeed, which would not train the head.
        """
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise RecipeError(
                "presafe: its head is no part of the model that is sharded, so its optimiser would not hold it; train on one device or under DDP"
            )
        inner = self.accelerator.unwrap_model(self.model)
        self._presafe = settings
        self._heard: Any = defaultdict(list)
        self._shares: list[torch.Tensor] = []
        self.head = Head(inner.config.get_text_config().hidden_size).to(self.args.device)
        self.listen(-1 if settings.layer == "best" else settings.layer)
        self.keep_columns(of_rows=[COLUMN])
        self.count_in_steps(COLUMN, lambda batch: (~batch[COLUMN].isnan()).sum())
        if self.accelerator.num_processes > 1:
            for parameter in self.head.parameters():
                parameter.register_hook(lambda gradient: _mean_over_processes(gradient))

    def listen(self: Any, layer: int) -> None:
        """Read this layer from now on."""
        if hasattr(self, "listener"):
            self.listener.close()
        self.listener = Listener(self.accelerator.unwrap_model(self.model), layer)
        self.where = {"layer": layer, "position": self._presafe.position}

    def start_head(self: Any, weight: torch.Tensor, bias: float) -> None:
        """Begin with a fitted head."""
        with torch.no_grad():
            self.head.linear.weight.copy_(weight[None])
            self.head.linear.bias.fill_(bias)
        if self.accelerator.num_processes > 1:
            for parameter in self.head.parameters():
                broadcast(parameter.data)

    def create_optimizer(self: Any, *args: Any, **kwargs: Any) -> Any:
        """The model's optimiser with a parameter group for the head, which has a higher learning rate."""
        if self.optimizer is None:
            optimizer: Any = super().create_optimizer(*args, **kwargs)  # type: ignore[misc]
            optimizer.add_param_group(
                {
                    "params": list(self.head.parameters()),
                    "lr": self._presafe.head_learning_rate,
                    "weight_decay": 0.0,
                }
            )
            # the trainer zeroes only the gradients of its own model
            optimizer.register_step_post_hook(lambda *_: self.head.zero_grad())
        return self.optimizer

    def create_scheduler(self: Any, *args: Any, **kwargs: Any) -> Any:
        """The model's schedule; the head's learning rate stays as it is."""
        scheduler = super().create_scheduler(*args, **kwargs)  # type: ignore[misc]
        scheduler.lr_lambdas[-1] = _constant
        scheduler.optimizer.param_groups[-1]["lr"] = scheduler.base_lrs[-1]
        return scheduler

    def get_batch_samples(self: Any, *args: Any, **kwargs: Any) -> Any:
        """The micro-batches of a step, of which the first may be measured."""
        every = math.ceil(self.state.max_steps / SHARES)
        self._measures = self.state.global_step % every == 0
        return super().get_batch_samples(*args, **kwargs)

    def compute_loss(
        self: Any,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The trainer's own loss plus the weighted loss of the head."""
        refused = inputs.pop(COLUMN)
        decided = self.total(COLUMN, {COLUMN: refused})
        self.listener.states = None
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]
        states = pool(
            self.listener.take(),
            inputs["labels"],
            inputs.get("attention_mask"),
            self._presafe.position,
            inputs.get("seq_idx"),
        )
        auxiliary = self.decision_loss(states.detach() if self._presafe.detach else states, refused) / decided
        weight = 1.0 if self._presafe.detach else self._presafe.weight
        weighted = auxiliary * weight * self.scale(num_items_in_batch)
        if self.model.training and self._measures and not self._presafe.detach:
            self._measures = False
            trained = [p for p in self.model.parameters() if p.requires_grad]
            measured = gradient_share(weighted, loss[0] if return_outputs else loss, trained)
            self._shares.append(measured)
        return (loss[0] + weighted, loss[1]) if return_outputs else loss + weighted

    def decision_loss(self: Any, states: torch.Tensor, refused: torch.Tensor) -> torch.Tensor:
        """The loss of the head, summed over the prompts of a batch whose decision is known."""
        odds, known = self.head(states), ~refused.isnan()
        wanted = refused.nan_to_num()
        loss: torch.Tensor = (cross_entropy(odds, wanted, reduction="none") * known).sum()
        right = (((odds >= 0) == (wanted >= 0.5)) & known).sum()
        self._heard["train" if self.model.training else "eval"].append(
            torch.stack([loss.detach(), right.float(), known.sum().float()])
        )  # on the device: a number would make every micro-batch wait for it
        return loss

    def log(self: Any, logs: dict[str, float], *more: Any, **named: Any) -> None:
        """Log with the head's means over the decided rows since the last log."""
        mode = "train" if self.model.training else "eval"
        if heard := self._heard.pop(mode, []):
            loss, right, rows = self.accelerator.reduce(torch.stack(heard).sum(0)).tolist()
            if rows:
                self._metrics[mode]["presafe_loss"] = [loss / rows]
                self._metrics[mode]["presafe_accuracy"] = [right / rows]
        if mode == "train" and self._shares:
            shares = torch.stack(self._shares).tolist()
            self._shares = []
            self._metrics[mode]["presafe_gradient_share"] = shares
        super().log(logs, *more, **named)  # type: ignore[misc]

    def _save(self: Any, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)  # type: ignore[misc]
        save_head(self.head, self.where, Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self: Any, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
        self.head.load_state_dict(load_head(Path(resume_from_checkpoint))[0].state_dict())


def gradient_share(
    auxiliary: torch.Tensor, own: torch.Tensor, parameters: Sequence[torch.Tensor]
) -> torch.Tensor:
    """The auxiliary loss's share of the gradient norm: |a| / (|a| + |s|), s of the trainer's own loss; 0 if both are 0.

    Both graphs are kept. One gradient is in memory at a time.
    """
    norms = []
    for loss in (auxiliary, own):
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        norms.append(torch.stack([g.float().norm() for g in gradients if g is not None]).norm())
        del gradients
    share: torch.Tensor = norms[0] / (norms[0] + norms[1]).clamp(min=1e-12)
    return share


def _constant(step: int) -> float:
    return 1.0


def _mean_over_processes(gradient: torch.Tensor) -> torch.Tensor:
    from torch import distributed

    distributed.all_reduce(gradient)
    mean: torch.Tensor = gradient / distributed.get_world_size()
    return mean
