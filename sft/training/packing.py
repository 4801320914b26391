"""Tests that rows packed into one sequence do not attend to each other in a given model.

Packed rows are separated by positions that restart at 0: most models of transformers build a block-diagonal mask from that for
eager, sdpa and flex attention, and flash attention reads the boundaries. Not all do: gpt-oss does not use positions for its mask,
and stateful layers (short convolutions, linear attention) leak across a boundary if their kernels are not installed. The loss
would look normal, so the model is tested before it trains.
"""

from typing import Any

import torch

from schemas.errors import RecipeError

PROBE = 8
"""Tokens of each of the two test rows."""
TOLERANCE, TOLERANCE_BF16 = 1e-5, 1e-2
"""Tolerance for rounding, as a share of the logits' spread; attention alone gives 0, mixture-of-experts layers do not."""


def require_unsharded(trainer: Any, settings: str) -> None:
    """Reject sharded models for some settings, which have not been tried with them.

    Raises:
        RecipeError: under FSDP and DeepSpeed.
    """
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        raise RecipeError(
            f"{settings}: train on one device or under DDP; choose another accelerate config, or leave them out"
        )


def require_isolation(model: Any, bf16: bool) -> None:
    """Reject a model whose packed rows attend to each other: a row's logits must not depend on the row before it.

    Args:
        model: a causal language model, on its training device.
        bf16: whether it will be trained in bfloat16.

    Raises:
        RecipeError: with what to change.
    """
    training = model.training
    model.train()  # in eval mode, bitsandbytes repacks its weights on a CPU irreversibly
    with torch.no_grad(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        one, other = (_logits_after(model, step) for step in (7, 13))
    model.train(training)
    moved = float((one - other).abs().max()) / (float(one.std()) or 1.0)
    if not moved <= (TOLERANCE_BF16 if bf16 else TOLERANCE):
        raise RecipeError(
            f"packing, padding_free: this {model.config.model_type} with {model.config._attn_implementation} attention lets packed "
            f"rows attend to each other (the row before changes a row's logits by {moved:.1g} of their spread); "
            "set both to false, or attn_implementation to a flash attention, and install the kernels of "
            "stateful layers (causal-conv1d, flash-linear-attention)"
        )


def _logits_after(model: Any, step: int) -> torch.Tensor:
    """Logits of a fixed row after another one; (tokens, vocabulary)."""
    device, vocabulary = model.device, model.config.get_text_config().vocab_size
    first, fixed = (torch.arange(1, PROBE + 1, device=device) * by % vocabulary for by in (step, 11))
    places = torch.arange(PROBE, device=device)
    bounds = torch.tensor([0, PROBE, 2 * PROBE], dtype=torch.int32, device=device)
    numbers = torch.arange(2, dtype=torch.int32, device=device).repeat_interleave(PROBE)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)  # the same dropout each time
        logits: torch.Tensor = model(
            input_ids=torch.cat([first, fixed])[None], position_ids=torch.cat([places, places])[None], use_cache=False,
            cu_seq_lens_q=bounds, cu_seq_lens_k=bounds, max_length_q=PROBE, max_length_k=PROBE, seq_idx=numbers[None],
        ).logits[0, PROBE:]  # fmt: skip
    return logits.float()
