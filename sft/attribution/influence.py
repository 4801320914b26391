"""The influence of every sequence of a mix on some behaviours, and the cache that it comes from.

Rows are mapped to vectors once for each snapshot (`features`), behaviours to vectors of the same map, and influence is their product.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from curation import console
from curation.corpus.store import write_file
from schemas.ids import canonical_json, content_id
from sft.attribution import features, ranking
from sft.attribution.behaviours import Behaviour
from sft.attribution.features import Feature
from sft.attribution.projection import CountSketch, ExactProducts, Projection, norm
from sft.attribution.ranking import BehaviourVectors
from sft.attribution.recipe import AttributeRecipe
from sft.attribution.replay import ReplayedModel, TrainedRun, places, replies_of
from sft.proof.render import RenderedRow
from sft.training.snapshots import RunSnapshot

KEEPS = "finished rows are kept; the same command goes on"
Look = Callable[[RenderedRow], Feature]
"""Finds the feature of a sequence."""
Targets = Sequence[Sequence[tuple[RenderedRow, float]]]
"""The weighted sequences of each behaviour."""


class RunPoint(NamedTuple):
    """Where a run's model is looked at."""

    name: str
    snapshot: RunSnapshot | None
    """Null: the trained model."""

    @property
    def weight(self) -> float:
        """Its share of the sum."""
        return self.snapshot.weight if self.snapshot else 1.0


def mean_influences(
    runs: Sequence[TrainedRun],
    wanted: Sequence[Behaviour],
    recipe: AttributeRecipe,
    folders: Sequence[Path],
) -> torch.Tensor:
    """The mean over runs on the same rows, each with a folder for its caches; else as `influences`."""
    found = [influences(run, wanted, recipe, folder) for run, folder in zip(runs, folders, strict=True)]
    return torch.stack(found).mean(0)


def influences(
    run: TrainedRun, wanted: Sequence[Behaviour], recipe: AttributeRecipe, folder: Path
) -> torch.Tensor:
    """The influence of every sequence of a run on some behaviours, (sequences, behaviours), float64.

    Args:
        run: the run.
        wanted: the behaviours.
        recipe: how.
        folder: of the caches; what is there is not computed again.
    """
    model = ReplayedModel(run)
    cache, count = _claim(folder, run, wanted, recipe), len(run.sequences)
    points, targets = _points(run, recipe), [replies_of(run, one.replies) for one in wanted]
    total = torch.zeros(count, len(wanted), dtype=torch.float64)
    waiting = sum(len(rows) for at in points for rows in features.missing(cache / at.name, count))
    with console.progress("attribute", unit="rows", keeps=KEEPS) as advance:
        advance(count * len(points) - waiting, total=count * len(points))
        for at in points:
            if at.snapshot:
                model.go_to(at.snapshot)
            toward, look = _way(model, targets, recipe)
            features.make(cache / at.name, count, partial(_numbered, look, run.sequences), advance)
            total += at.weight * _compared(cache / at.name, count, toward, recipe)
    return total


def _compared(folder: Path, count: int, toward: BehaviourVectors, recipe: AttributeRecipe) -> torch.Tensor:
    blocks = features.read(folder, count)
    if recipe.method == "loss":
        return torch.cat([block.losses for block in blocks]).double()[:, None]
    by_cosine = recipe.method == "gradients" and recipe.similarity == "cosine"
    return (ranking.cosines if by_cosine else ranking.products)(blocks, toward)


def _numbered(look: Look, sequences: Sequence[RenderedRow], number: int) -> Feature:
    return look(sequences[number])


def _points(run: TrainedRun, recipe: AttributeRecipe) -> list[RunPoint]:
    if recipe.method != "gradients":
        return [RunPoint("trained", None)]
    if not run.snapshots:
        console.say(
            f"attribute: {run.folder} kept no snapshots, so only its end is looked at, without Adam's scale; "
            "`snapshots: 4` in the recipe of `sft run` keeps them"
        )
        return [RunPoint("trained", None)]
    return [RunPoint(one.folder.name, one) for one in run.snapshots]


def _way(model: ReplayedModel, targets: Targets, recipe: AttributeRecipe) -> tuple[BehaviourVectors, Look]:
    """The behaviours as vectors, and what finds the feature of a sequence."""
    return (
        _by_gradients(model, targets, recipe) if recipe.method == "gradients" else _by_states(model, targets)
    )


def _by_states(model: ReplayedModel, targets: Targets) -> tuple[BehaviourVectors, Look]:
    """Products of unit vectors are cosines, so that a behaviour is the weighted mean of its replies' cosines."""

    def look(sequence: RenderedRow) -> Feature:
        state, loss = model.state(sequence)
        size = float(state.norm())
        return Feature(state / (size or 1.0), size, loss)

    means = [torch.stack([weight * look(one).vector for one, weight in of]).sum(0) for of in targets]
    vectors = torch.stack(means)
    return BehaviourVectors(vectors, vectors.norm(dim=1)), look


def _by_gradients(
    model: ReplayedModel, targets: Targets, recipe: AttributeRecipe
) -> tuple[BehaviourVectors, Look]:
    toward = [model.weighted_gradient(of) for of in targets]
    exact = recipe.projection == 0
    project: Projection = ExactProducts(toward) if exact else CountSketch(recipe.projection, recipe.seed)
    vectors = torch.eye(len(toward)) if exact else torch.stack([project(one) for one in toward])

    def look(sequence: RenderedRow) -> Feature:
        gradient, loss = model.gradient(sequence)
        stepped = model.as_stepped(gradient)
        return Feature(project(stepped), norm(stepped), loss)

    return BehaviourVectors(vectors, torch.tensor([norm(one) for one in toward])), look


def _claim(folder: Path, run: TrainedRun, wanted: Sequence[Behaviour], recipe: AttributeRecipe) -> Path:
    """The folder of the cache, whose name is a hash of all that its content depends on."""
    identity: dict[str, Any] = {**places(run)}
    name = "states"
    if recipe.method == "gradients":
        name = "gradients"
        identity |= {
            "snapshots": [one.fingerprint for one in run.snapshots],
            "projection": recipe.projection,
            "seed": recipe.seed,
        }
        if recipe.projection == 0:
            identity["behaviours"] = content_id([one.replies for one in wanted])
    cache = folder / f"{name}-{content_id(identity)[:12]}"
    write_file(cache / "identity.json", canonical_json(identity) + b"\n")
    return cache
