"""What `sft attribute` costs, by arithmetic: no weights are read. Rates are those of `sft plan`, with the same third of error.

A forward pass takes 2 FLOP per parameter and token, a backward pass 4, or 2 through frozen weights.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from curation import console
from schemas.choices import Device
from sft.attribution.behaviours import behaviours
from sft.attribution.projection import places_bytes
from sft.attribution.recipe import AttributeRecipe
from sft.attribution.replay import fitting, open_runs, replies_of
from sft.training import plan

PASSES = {"states": 2, "loss": 2}


class AttributionCost(NamedTuple):
    """The cost of a call of `sft attribute`."""

    rows: int
    """Sequences of the mix."""
    replies: int
    points: int
    """Snapshots of each run, or 1 for its trained model alone."""
    tokens: int
    """Of rows and replies, once for each snapshot."""
    hours: float
    disk_gb: float
    memory_gb: float
    """Weights, a gradient for each behaviour and three more, and the places of the projection."""
    seconds_per_1000_rows: float


def estimate(
    run: Path,
    on: Path,
    evaluation: Path,
    recipe: AttributeRecipe,
    device: Device,
    other: Path | None = None,
    also: Sequence[Path] = (),
) -> AttributionCost:
    """Estimate time, disk and memory; arguments and errors as of `attribute`."""
    asked = behaviours(on, evaluation, recipe.wanted, other)
    runs = open_runs([run, *also])
    opened = runs[0]
    wanted = fitting(opened, asked)
    shape = plan.shape_of(str(run))
    full, gradients = opened.config.method == "full", recipe.method == "gradients"
    trained = shape.parameters if full else plan.adapter_parameters(shape, opened.config.lora.r)
    points = sum(len(one.snapshots) if gradients and one.snapshots else 1 for one in runs)
    replies = [one for of in wanted for one, _ in replies_of(opened, of.replies)]
    of_rows = sum(len(one.input_ids) for one in opened.sequences)
    tokens = points * (of_rows + sum(len(one.input_ids) for one in replies))
    flops = PASSES.get(recipe.method, 6 if full else 4) * shape.parameters
    seconds = flops * tokens / (plan.device_of(device)[1] * 1e12 * plan.MFU)
    size = (recipe.projection or len(wanted)) if gradients else shape.hidden
    held = (3 + len(wanted)) * 4 * trained + places_bytes(trained) if gradients and recipe.projection else 0
    if gradients and not recipe.projection:
        held = (3 + len(wanted)) * 4 * trained
    rows = len(opened.sequences)
    return AttributionCost(
        rows, len(replies), points, tokens, seconds / 3600, 4 * size * rows * points / plan.GB,
        (4 * shape.parameters + held) / plan.GB, seconds / rows * 1000,
    )  # fmt: skip


def show(cost: AttributionCost) -> None:
    """Print an estimate."""
    console.result(
        f"work    {cost.rows:,} rows and {cost.replies:,} replies at {cost.points} points, {cost.tokens:,} tokens"
    )
    console.result(f"time    {cost.hours:.2f} hours, {cost.seconds_per_1000_rows:,.0f} s per 1,000 rows")
    console.result(f"disk    {cost.disk_gb:.2f} GB")
    console.result(f"memory  {cost.memory_gb:.1f} GB, without activations")
