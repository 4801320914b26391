"""The proof that a model keeps rows apart that stand in one sequence without padding.

What separates them is that their positions start again at 0: most models of transformers build a block-diagonal mask from that for eager,
sdpa and flex attention, and flash attention reads the boundaries. Not all do: gpt-oss has no positions for its mask, and layers that
carry a state along (short convolutions, linear attention) run over a boundary where their kernels are missing. The loss would look
healthy all the same, so the model at hand is tried before it trains.
"""

from typing import Any

import torch

from schemas.errors import RecipeError

PROBE = 8
"""Tokens of each of the two rows that are tried."""
TOLERANCE, TOLERANCE_BF16 = 1e-5, 1e-2
"""How far logits may move by rounding, as a share of their spread; attention alone leaves 0, experts that count their tokens do not."""


def demand_whole(trainer: Any) -> None:
    """Refuse models in shards: neither the proof nor packed training has been tried on one.

    Raises:
        RecipeError: under FSDP and DeepSpeed.
    """
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        raise RecipeError(
            "packing, padding_free: train on one device or under DDP; choose another accelerate config, or set both to false"
        )


def demand_apart(model: Any, bf16: bool) -> None:
    """Refuse a model whose packed rows see each other: a row must come out the same whatever stands before it.

    Args:
        model: a causal language model, where it will be trained.
        bf16: whether it will be trained in bfloat16.

    Raises:
        RecipeError: saying what to do.
    """
    training = model.training
    model.train()  # out of training, bitsandbytes packs its weights on a CPU for good
    with torch.no_grad(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        one, other = (_behind(model, step) for step in (7, 13))
    model.train(training)
    moved = float((one - other).abs().max()) / (float(one.std()) or 1.0)
    if not moved <= (TOLERANCE_BF16 if bf16 else TOLERANCE):
        raise RecipeError(
            f"packing, padding_free: this {model.config.model_type} with {model.config._attn_implementation} attention does not keep "
            f"the rows of a sequence apart (what stands before a row moves its logits by {moved:.1g} of their spread), so it would "
            "learn from mixed-up rows; set both to false, or attn_implementation to a flash attention, and install the kernels of "
            "layers that have a state (causal-conv1d, flash-linear-attention)"
        )


def _behind(model: Any, step: int) -> torch.Tensor:
    """Logits of a fixed row behind another one; (tokens, vocabulary)."""
    device, vocabulary = model.device, model.config.get_text_config().vocab_size
    first, fixed = (torch.arange(1, PROBE + 1, device=device) * by % vocabulary for by in (step, 11))
    places = torch.arange(PROBE, device=device)
    bounds = torch.tensor([0, PROBE, 2 * PROBE], dtype=torch.int32, device=device)
    numbers = torch.arange(2, dtype=torch.int32, device=device).repeat_interleave(PROBE)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)  # the same dropout each time
        found: torch.Tensor = model(
            input_ids=torch.cat([first, fixed])[None], position_ids=torch.cat([places, places])[None], use_cache=False,
            cu_seq_lens_q=bounds, cu_seq_lens_k=bounds, max_length_q=PROBE, max_length_k=PROBE, seq_idx=numbers[None],
        ).logits[0, PROBE:]  # fmt: skip
    return found.float()
