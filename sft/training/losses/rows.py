"""What the losses of a run need to know of each token of its rows, and what is told of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from curation import console
from schemas.errors import RenderError
from schemas.row import Row
from sft.proof.check import Proof
from sft.proof.weights import weigh
from sft.training.config import KlToBase, TrainConfig
from sft.training.losses.anchored import ANCHORED
from sft.training.losses.weighted import WEIGHTS


class TokenColumns(NamedTuple):
    """Columns with a value for each token, and the summary of a run's manifest about them."""

    values: dict[str, list[list[float]]]
    summary: dict[str, Any]


def token_columns(
    config: TrainConfig, tokenizer: Any, proof: Proof, originals: Sequence[Row]
) -> TokenColumns:
    """The columns of checked rows; raises as `weigh` does, and RenderError where no row is held to the base."""
    found = TokenColumns({}, {})
    if config.token_weights:
        weighted = weigh(tokenizer, proof, config.token_weights, originals)
        weighted.say(config.token_weights)
        found.values[WEIGHTS] = weighted.weights
        found.summary["token_weights"] = {
            "rules": weighted.told(config.token_weights),
            "tokens_with_weight": sum(weight > 0 for row in weighted.weights for weight in row),
            **{name: getattr(weighted, name) for name in ("lost", "silent", "unmarked")},
        }
    if config.kl_to_base:
        held = _held(config.kl_to_base, proof)
        found.values[ANCHORED] = [
            [float(one)] * len(tokens.input_ids) for one, tokens in zip(held, proof.rendered, strict=True)
        ]
        found.summary["kl_to_base"] = {"rows": sum(held)}
        console.say(f"sft: {sum(held)} of {len(held)} rows are held to the base")
    return found


def _held(settings: KlToBase, proof: Proof) -> list[bool]:
    held = [row.kind in settings.kinds for row in proof.kept]
    if not any(held):
        raise RenderError(
            f"kl_to_base: no row of the mix is of kind {', '.join(settings.kinds)}; leave it out, or set kinds"
        )
    return held
