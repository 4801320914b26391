"""DPO's side of a run: which settings go with it, and the pairs of checked rows. Both traces of a pair are proven as rows of a mix are."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from schemas.errors import DataError, RecipeError, RenderError
from sft.proof.check import Proof
from sft.proof.mix import TrainingMix
from sft.proof.render import RenderedRow
from sft.training.config import TrainConfig

UNTRAINED = math.log(2)
"""DPO's loss before the first step, when model and reference are the same."""


class RenderedPair(NamedTuple):
    """A pair as token ids; both begin with the same prompt."""

    chosen: RenderedRow
    rejected: RenderedRow


def require_settings(config: TrainConfig, mix: TrainingMix) -> None:
    """Check that pairs are trained on with DPO and rows are not, and that nothing is set which DPO does not do.

    Raises:
        RecipeError: naming the settings.
    """
    if bool(config.dpo) != bool(mix.pairs):
        raise RecipeError(
            f"dpo: trains on pairs, and {config.mix} is a mix; make pairs with: curate build-pairs"
            if config.dpo
            else f"{config.mix}: pairs of a preferred and a rejected trace; set `dpo: {{beta: 0.1}}`, or name a mix for SFT"
        )
    wrong = {
        "presafe": config.presafe,
        "token_weights": config.token_weights,
        "kl_to_base": config.kl_to_base,
        "packing": config.packing,
        "padding_free": config.padding_free,
        "loss_on: all": config.loss_on == "all",
        "lora_dropout": config.lora.lora_dropout,
    }
    if config.dpo and (named := [name for name, is_set in wrong.items() if is_set]):
        raise RecipeError(
            f"dpo: does not go with {', '.join(named)}; leave it out (DPO trains without dropout)"
        )


def rendered_pairs(mix: TrainingMix, proof: Proof) -> list[RenderedPair]:
    """The pairs both of whose traces are among the checked rows: without those that were dropped as too long.

    Raises:
        RenderError: if none is left.
        DataError: if the traces of a pair answer different prompts, as a parent's that was ingested may.
    """
    rows = dict(zip((row.trace_id for row in proof.kept), proof.rendered, strict=True))
    kept = [pair for pair in mix.pairs if pair.chosen in rows and pair.rejected in rows]
    if not kept:
        raise RenderError(f"all {len(mix.pairs)} pairs have a trace longer than max_length; raise it")
    found = [RenderedPair(rows[pair.chosen], rows[pair.rejected]) for pair in kept]
    for pair, (chosen, rejected) in zip(kept, found, strict=True):
        if _prompt(chosen) != _prompt(rejected):
            raise DataError(
                f"traces {pair.chosen} and {pair.rejected}: a pair with different prompts; mend parent_id in the corpus"
            )
    return found


def flat(pairs: Sequence[RenderedPair]) -> list[RenderedRow]:
    """The sequences of pairs, as they are counted."""
    return [row for pair in pairs for row in pair]


def _prompt(row: RenderedRow) -> list[int]:
    return row.input_ids[: row.prompt_length]
