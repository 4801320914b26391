"""PreSafe's head: a linear classifier of the safety decision, on the hidden state of each row just before its chain of thought.

The surprise: the head is initialised to zero, so it draws no random number, and with weight 0 training is bitwise equal to plain SFT.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from schemas.errors import DataError, RecipeError
from sft.proof.render import IGNORED

HEAD = "safety_head.safetensors"
SETTINGS = "safety_head.json"


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


def save_head(head: Head, where: Mapping[str, Any], folder: Path) -> None:
    """Save the head, and the layer and position that it reads."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in head.state_dict().items()}, folder / HEAD)
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


def backbone_of(model: Any) -> Any:
    """The model without its language modelling head; its output is the last state, after the final norm."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return getattr(inner, inner.base_model_prefix)


def layers_of(model: Any) -> list[int]:
    """The layers that a head can listen to, from the first to -1.

    Raises:
        RecipeError: if the model does not show its layers.
    """
    layers = getattr(backbone_of(model), "layers", None)
    if layers is None:
        raise RecipeError("presafe.layer: best: the model does not show its layers; give one")
    return [*range(len(layers) - 1), -1]


def _module(model: Any, layer: int) -> Any:
    """The module whose output is captured: the whole backbone, or one of its layers."""
    backbone = backbone_of(model)
    if layer == -1:
        return backbone
    try:
        return backbone.layers[layer]
    except (AttributeError, IndexError) as error:
        raise RecipeError(f"presafe.layer: {layer}: the model has no such layer ({error})") from error
