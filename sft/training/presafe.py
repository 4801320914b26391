"""PreSafe's auxiliary supervision (arXiv 2603.17368): a linear head predicts the safety decision from the state before the reasoning.

loss = SFT + weight x BCE(head(state), the teacher's decision). The gradient flows into the model, the head is discarded, and
the exported model is a standard one. What the paper leaves open is configurable; the defaults are ours: last layer, last prompt
token, soft labels, weight 0.2 (as SafeKey, its closest relative). The surprise: the head is initialised to zero, so it draws no
random number, and with weight 0 training is bitwise equal to plain SFT.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from schemas.errors import DataError, RecipeError
from sft.proof.render import IGNORED
from sft.training.config import PresafeConfig

HEAD = "safety_head.safetensors"
SETTINGS = "safety_head.json"
COLUMN = "refused"
"""Column with the teacher's decision for each row of a sequence; NaN if there is none."""


def targets(prompt_ids: Sequence[str], decisions: dict[str, float], settings: PresafeConfig) -> list[float]:
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


class Head(torch.nn.Module):
    """A linear classifier on hidden states, in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(width, 1)
        torch.nn.init.zeros_(self.linear.weight)
        torch.nn.init.zeros_(self.linear.bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Log odds of refusal; (rows, width) -> (rows,)."""
        odds: torch.Tensor = self.linear(states.float())
        return odds[:, 0]


class Listener:
    """A forward hook that captures the hidden states of one layer."""

    def __init__(self, model: Any, layer: int) -> None:
        self.states: torch.Tensor | None = None
        self._hook = _module(model, layer).register_forward_hook(self._hear)

    def _hear(self, module: Any, inputs: Any, output: Any) -> None:
        if (
            self.states is None
        ):  # gradient checkpointing computes a layer twice; the first pass is in the graph
            states = getattr(output, "last_hidden_state", output)
            self.states = states[0] if isinstance(states, tuple) else states

    def take(self) -> torch.Tensor:
        """The states of the last forward pass, (rows, tokens, width)."""
        states, self.states = self.states, None
        if states is None:
            raise RuntimeError("the model has not run a forward pass")
        return states

    def close(self) -> None:
        """Remove the hook."""
        self._hook.remove()


def pool(
    states: torch.Tensor,
    labels: torch.Tensor,
    mask: torch.Tensor | None,
    position: str,
    numbers: torch.Tensor | None = None,
) -> torch.Tensor:
    """One state per training row, in order: of its last prompt token, or the mean over its prompt.

    Args:
        states: (sequences, tokens, width).
        labels: (sequences, tokens), IGNORED on prompts and on padding, on whichever side that is.
        mask: (sequences, tokens), 1 for tokens, 0 for padding; None without padding.
        position: "last" or "mean".
        numbers: (sequences, tokens), index of each token's row; None if every sequence is one row.
    """
    learned = labels != IGNORED
    before = torch.nn.functional.pad(learned, (1, 0))[:, :-1]
    sequence, first = (learned & ~before).nonzero(as_tuple=True)
    if position == "last":
        return states[sequence, first - 1]
    if numbers is None:
        numbers = torch.arange(len(labels), device=labels.device)[:, None].expand_as(labels)
    prompt = ~learned if mask is None else ~learned & (mask > 0)
    rows = torch.arange(len(sequence), device=labels.device)[:, None, None]
    share = ((numbers == rows) & prompt).flatten(1).to(states.dtype)
    return share @ states.flatten(0, 1) / share.sum(1, keepdim=True)


class WithDecisions:
    """A collator that keeps the column of decisions."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        refused = [decision for row in rows for decision in row[COLUMN]]
        batch: dict[str, Any] = self._inner([{k: v for k, v in row.items() if k != COLUMN} for row in rows])
        return {**batch, COLUMN: torch.tensor(refused, dtype=torch.float32)}


class AuxiliaryHead:
    """PreSafe's part of a trainer; a mixin before the trainer's class, configured by `supervise`."""

    head: Head

    def supervise(self: Any, settings: PresafeConfig) -> None:
        """Add the head, its optimiser group and its loss.

        Raises:
            RecipeError: under FSDP and DeepSpeed, which would not train the head.
        """
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise RecipeError("presafe: trains on one device or under DDP; choose another accelerate config")
        inner = self.accelerator.unwrap_model(self.model)
        self._presafe = settings
        self._heard: Any = defaultdict(lambda: defaultdict(list))
        self.head = Head(inner.config.get_text_config().hidden_size).to(self.args.device)
        self.listener = Listener(inner, settings.layer)
        self.data_collator = WithDecisions(self.data_collator)
        if self.accelerator.num_processes > 1:
            for parameter in self.head.parameters():
                parameter.register_hook(lambda gradient: _mean_over_processes(gradient))

    def _set_signature_columns_if_needed(self: Any) -> None:
        super()._set_signature_columns_if_needed()  # type: ignore[misc]
        if COLUMN not in self._signature_columns:
            self._signature_columns = [*self._signature_columns, COLUMN]

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

    def compute_loss(
        self: Any,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The trainer's own loss plus the weighted loss of the head."""
        refused = inputs.pop(COLUMN)
        self.listener.states = None
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]
        states = pool(
            self.listener.take(),
            inputs["labels"],
            inputs.get("attention_mask"),
            self._presafe.position,
            inputs.get("seq_idx"),
        )
        auxiliary = self.decision_loss(states.detach() if self._presafe.detach else states, refused)
        # The trainer's loss is already divided by the step's tokens if it counts them, else it is a mean that is divided later.
        steps = (
            self.current_gradient_accumulation_steps
            if num_items_in_batch is not None and self.model.training
            else 1
        )
        weighted = auxiliary * (1.0 if self._presafe.detach else self._presafe.weight) / steps
        return (loss[0] + weighted, loss[1]) if return_outputs else loss + weighted

    def decision_loss(self: Any, states: torch.Tensor, refused: torch.Tensor) -> torch.Tensor:
        """The loss of the head on the prompts of a batch whose decision is known."""
        odds = self.head(states)
        known = ~refused.isnan()
        if not known.any():
            nothing: torch.Tensor = 0.0 * odds.sum()
            return nothing
        loss: torch.Tensor = cross_entropy(odds[known], refused[known])
        right = (odds[known] >= 0) == (refused[known] >= 0.5)
        heard = self._heard["train" if self.model.training else "eval"]
        heard["presafe_loss"].append(
            loss.detach()
        )  # on the device: a number would make every micro-batch wait for it
        heard["presafe_accuracy"].append(right.float().mean())
        return loss

    def log(self: Any, logs: dict[str, float], *more: Any, **named: Any) -> None:
        """Log with the head's means since the last log."""
        mode = "train" if self.model.training else "eval"
        for name, values in self._heard.pop(mode, {}).items():
            self._metrics[mode][name] += torch.stack(values).tolist()
        super().log(logs, *more, **named)  # type: ignore[misc]

    def _save(self: Any, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)  # type: ignore[misc]
        save_head(self.head, self._presafe, Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self: Any, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
        self.head.load_state_dict(load_head(Path(resume_from_checkpoint))[0].state_dict())


def save_head(head: Head, settings: PresafeConfig, folder: Path) -> None:
    """Save the head and its layer and position."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in head.state_dict().items()}, folder / HEAD)
    where = {"layer": settings.layer, "position": settings.position}
    (folder / SETTINGS).write_text(json.dumps(where) + "\n", encoding="utf-8")


def load_head(folder: Path) -> tuple[Head, dict[str, Any]]:
    """Load a head and its layer and position; raises DataError if the folder has none."""
    from safetensors.torch import load_file

    try:
        weights = load_file(folder / HEAD)
        where: dict[str, Any] = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: has no safety head ({error}); train with a `presafe:` block") from error
    head = Head(weights["linear.weight"].shape[1])
    head.load_state_dict(weights)
    return head, where


def _module(model: Any, layer: int) -> Any:
    """The module whose output is captured: the whole backbone, or one of its layers."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    backbone = getattr(inner, inner.base_model_prefix)
    if layer == -1:
        return backbone
    try:
        return backbone.layers[layer]
    except (AttributeError, IndexError) as error:
        raise RecipeError(f"presafe.layer: {layer}: the model has no such layer ({error})") from error


def _mean_over_processes(gradient: torch.Tensor) -> torch.Tensor:
    from torch import distributed

    distributed.all_reduce(gradient)
    mean: torch.Tensor = gradient / distributed.get_world_size()
    return mean
