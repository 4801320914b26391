"""A logistic regression on the hidden states before the chain of thought: PreSafe's warm start, and what the states say of the decision.

The ridge is chosen by the loss on folds that were not fitted to, and so are the figures. The surprise: without it the regression would be
perfect on its own prompts, as there are more dimensions than prompts, and a head without loss gives the model no gradient.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from sft.scoring.statistics import auroc
from sft.training.presafe.head import Listener, backbone_of

FOLDS = 5
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Candidates, on standardised states and the mean loss."""
ITERATIONS = 60
BATCH_TOKENS = 8192
"""Tokens of a forward pass, with padding."""


class LogisticProbe(NamedTuple):
    """A fitted regression, and how well it does on prompts that it was not fitted to."""

    weight: torch.Tensor
    """(width,), on the states as they are."""
    bias: float
    ridge: float
    auroc: float | None
    """Of prompts that the teacher refuses against the others, out of fold; null where a fold would lack either."""
    loss: float | None
    """Mean cross entropy in nats, out of fold."""

    def odds(self, states: torch.Tensor) -> torch.Tensor:
        """Log odds of refusal; (prompts, width) -> (prompts,)."""
        return states.double() @ self.weight.double() + self.bias


def prompt_states(
    model: Any, prompts: Sequence[Sequence[int]], layers: Sequence[int], position: str, bf16: bool = False
) -> dict[int, torch.Tensor]:
    """The states that a head would read, with the model as it is and no gradient.

    Args:
        model: a causal language model; its mode is left as found.
        prompts: token ids of each prompt.
        layers: -1 for the last state after the final norm, else the index of a decoder layer.
        position: "last" or "mean".
        bf16: whether the model is trained under autocast.

    Returns:
        For each layer (prompts, width) in float32 on the CPU.
    """
    listeners = {layer: Listener(model, layer) for layer in layers}
    found: dict[int, list[Any]] = {layer: [None] * len(prompts) for layer in layers}
    training = model.training
    if not getattr(model, "is_quantized", False):  # bitsandbytes repacks weights for good in eval mode
        model.eval()
    devices = [model.device] if model.device.type == "cuda" else []
    autocast = torch.autocast(model.device.type, torch.bfloat16, enabled=bf16)
    with torch.no_grad(), torch.random.fork_rng(devices), autocast:
        for chosen in _batches(prompts):
            ids, mask = _padded([prompts[n] for n in chosen], model.device)
            backbone_of(model)(input_ids=ids, attention_mask=mask, use_cache=False)
            for layer, listener in listeners.items():
                pooled = _pooled(listener.take().float(), mask, position).cpu()
                for number, state in zip(chosen, pooled, strict=True):
                    found[layer][number] = state
    model.train(training)
    for listener in listeners.values():
        listener.close()
    return {layer: torch.stack(states) for layer, states in found.items()}


def fit(states: torch.Tensor, refused: torch.Tensor) -> LogisticProbe:
    """Fit a regression to the teacher's decisions.

    Args:
        states: (prompts, width).
        refused: (prompts,), 0 to 1.
    """
    states, refused = states.double(), refused.double()
    folds = _folds(refused)
    if folds is None:
        return LogisticProbe(*_solved(states, refused, RIDGES[-1]), RIDGES[-1], None, None)
    held_out = {ridge: _out_of_fold(states, refused, folds, ridge) for ridge in RIDGES}
    losses = {ridge: float(cross_entropy(odds, refused)) for ridge, odds in held_out.items()}
    best = min(RIDGES, key=lambda ridge: losses[ridge])
    return LogisticProbe(
        *_solved(states, refused, best), best, area(held_out[best], refused), round(losses[best], 6)
    )


def area(odds: torch.Tensor, refused: torch.Tensor) -> float | None:
    """AUROC of the prompts that the teacher refuses against the others; null without either."""
    yes = refused >= 0.5
    return round(auroc(odds[yes].numpy(), odds[~yes].numpy()), 4) if yes.any() and (~yes).any() else None


def _batches(prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Indices of prompts of like length."""
    chosen: list[int] = []
    for number in sorted(range(len(prompts)), key=lambda n: len(prompts[n])):
        if chosen and (len(chosen) + 1) * len(prompts[number]) > BATCH_TOKENS:
            yield chosen
            chosen = []
        chosen.append(number)
    if chosen:
        yield chosen


def _padded(prompts: Sequence[Sequence[int]], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, prompts))
    ids = torch.tensor([[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts], device=device)
    mask = torch.tensor([[1] * len(p) + [0] * (longest - len(p)) for p in prompts], device=device)
    return ids, mask


def _pooled(states: torch.Tensor, mask: torch.Tensor, position: str) -> torch.Tensor:
    if position == "last":
        return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
    share = mask[:, None].to(states.dtype)
    return (share @ states)[:, 0] / share.sum(2)


def _folds(refused: torch.Tensor) -> torch.Tensor | None:
    """The fold of each prompt, with as many refused ones in each; null where there are too few for two."""
    yes = refused >= 0.5
    count = min(FOLDS, int(yes.sum()), int((~yes).sum()))
    if count < 2:
        return None
    folds = torch.empty(len(refused), dtype=torch.long)
    for group in (yes, ~yes):
        folds[group] = torch.arange(int(group.sum())) % count
    return folds


def _out_of_fold(
    states: torch.Tensor, refused: torch.Tensor, folds: torch.Tensor, ridge: float
) -> torch.Tensor:
    odds = torch.empty(len(refused), dtype=states.dtype)
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        weight, bias = _solved(states[~out], refused[~out], ridge)
        odds[out] = states[out] @ weight + bias
    return odds


def _solved(states: torch.Tensor, refused: torch.Tensor, ridge: float) -> tuple[torch.Tensor, float]:
    """Weight and bias of least mean cross entropy + ridge / 2 x |weight|^2, where the weight is that of standardised states."""
    mean, spread = states.mean(0), states.std(0).nan_to_num().clamp(min=1e-6)
    standard = (states - mean) / spread
    found = torch.zeros(states.shape[1] + 1, dtype=states.dtype, requires_grad=True)
    solver: Any = torch.optim.LBFGS([found], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        value = (
            cross_entropy(standard @ found[:-1] + found[-1], refused) + ridge / 2 * (found[:-1] ** 2).sum()
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        solver.step(loss)
    weight = found.detach()[:-1] / spread
    return weight, float(found.detach()[-1] - mean @ weight)
