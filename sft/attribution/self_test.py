"""`sft attribute --self-test`: does the method find rows on this model and mix whose effect is known?

Rows that refuse harmless questions are planted into a part of the mix, a short run with the user's own settings is trained on it, and its
rows are ranked for refusing harmless questions that were held out. No reply is generated: the behaviour is the loss of a refusal less that of
the question's own answer. A method that does no better than chance here is not to be believed on this model.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field

from curation import console
from curation.page import percent
from curation.recipe import Recipe, load_recipe
from schemas.choices import InfluenceMethod, InfluenceSimilarity
from schemas.ids import content_id
from schemas.row import Row
from sft.attribution import quality
from sft.attribution.behaviours import Behaviour
from sft.attribution.influence import mean_influences
from sft.attribution.planting import PlantedMix, plant, write_mix
from sft.attribution.quality import ModellingScore
from sft.attribution.recipe import AttributeRecipe
from sft.attribution.replay import (
    ReplayedModel,
    TrainedRun,
    config_of_run,
    open_run,
    rendered,
    require_plain_loss,
)
from sft.proof.mix import read_mix
from sft.training.config import TrainConfig
from sft.training.stage import train

ALPHA = 0.05
SNAPSHOTS = 4
WAYS: tuple[tuple[str, InfluenceMethod, InfluenceSimilarity], ...] = (
    ("gradients", "gradients", "product"),
    ("gradients, cosine", "gradients", "cosine"),
    ("states", "states", "product"),
    ("loss", "loss", "product"),
)
"""Name, method and similarity of what is tried."""


class SelfTestRecipe(Recipe):
    """The recipe of a self-test."""

    rows: Annotated[int, Field(ge=20)] = 400
    """Rows of the mix to train on, planted ones included."""
    share: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Of them, to plant."""
    probes: Annotated[int, Field(ge=1)] = 20
    """Harmless questions to hold out."""
    subsets: Annotated[int, Field(ge=4)] | None = None
    """Runs on random halves, for the linear data-modelling score; null: it is not measured."""
    projection: Annotated[int, Field(ge=0)] = 8192
    seed: int = 0


class Recovery(NamedTuple):
    """What a method found."""

    method: str
    average_precision: float
    p: float
    """How often a random order is as good."""
    recovered: float
    """The share of planted rows among the top as many."""
    data_modelling_score: ModellingScore | None
    """How well its influences predict what training on random halves gives; null without subsets."""

    @property
    def works(self) -> bool:
        """Whether it is better than chance."""
        return self.p < ALPHA


class SelfTest(NamedTuple):
    """The result of a self-test."""

    model: str
    rows: int
    planted: int
    chance: float
    """The average precision to expect of a random order."""
    refusing: tuple[int, int]
    """Of how many probes a refusal is likelier than their own answer, early in the run and at its end."""
    probes: int
    methods: list[Recovery]


def of_path(path: Path, recipe: SelfTestRecipe, out: Path | None = None) -> SelfTest:
    """The self-test of a run's folder or of a recipe of `sft run`; errors as of `self_test`.

    Args:
        path: the run or the recipe.
        recipe: how much.
        out: a folder; by default the run's with "-self-test" behind its name.
    """
    config = config_of_run(path) if path.is_dir() else load_recipe(path, TrainConfig).recipe
    return self_test(config, recipe, out or Path(f"{config.out}-self-test"))


def self_test(config: TrainConfig, recipe: SelfTestRecipe, out: Path) -> SelfTest:
    """Plant, train, rank, and compare with what was planted; goes on where a killed call stopped.

    Args:
        config: the user's run; its mix and all its settings are taken, but what it writes is below `out`.
        recipe: how much.
        out: a folder.

    Raises:
        DataError: if the run has another loss, or the mix cannot be read or has too few harmless rows.
        CurateError: as `train` does.
    """
    require_plain_loss(config, Path(config.out))
    mix = read_mix(Path(config.mix))
    planted = plant(mix.rows, recipe.rows, recipe.share, recipe.probes, recipe.seed)
    return of_planted(config, planted, mix.mix_id, recipe, out)


def of_planted(
    config: TrainConfig,
    planted: PlantedMix,
    mix_id: str,
    recipe: SelfTestRecipe,
    out: Path,
    also: Sequence[int] = (),
) -> SelfTest:
    """The same, of rows that were planted already.

    Args:
        config: settings of the runs, but for their mix and folder.
        planted: what is trained on, and the probes.
        mix_id: of the mix that its rows come from.
        recipe: its `subsets`, `projection` and `seed` count here.
        out: a folder.
        also: seeds of further runs, over which influences are averaged.

    Raises:
        CurateError: as `train` does.
    """
    console.say(
        f"self-test: {sum(planted.planted)} of {len(planted.rows)} rows refuse harmless questions; "
        f"{len(planted.probe_behaviours)} are held out"
    )
    run = _trained(config, planted.rows, mix_id, recipe, out / "planted")
    others = ((config.model_copy(update={"seed": seed}), out / f"planted-with-seed-{seed}") for seed in also)
    runs = [run, *(_trained(one, planted.rows, mix_id, recipe, folder) for one, folder in others)]
    outcomes = _subsets(config, planted, mix_id, recipe, recipe.subsets, out) if recipe.subsets else None
    known = [row.row_id for row in run.rows]
    truth = [dict(zip([r.row_id for r in planted.rows], planted.planted, strict=True))[key] for key in known]
    early, late = _refusing(run, planted)
    methods = []
    for name, method, similarity in WAYS:
        how = AttributeRecipe(
            method=method, similarity=similarity, projection=recipe.projection, seed=recipe.seed
        )
        caches = [out / "cache"] * len(runs)
        scores = mean_influences(runs, [planted.behaviour], how, caches)[:, 0].tolist()
        modelled = _modelled(runs, planted, how, caches, outcomes) if outcomes else None
        methods.append(
            Recovery(
                name, quality.average_precision(truth, scores), quality.chance(truth, scores, recipe.seed),
                quality.recovered(truth, scores), modelled,
            )
        )  # fmt: skip
    return SelfTest(
        run.model,
        len(truth),
        sum(truth),
        sum(truth) / len(truth),
        (early, late),
        len(planted.probe_behaviours),
        methods,
    )


def _trained(
    config: TrainConfig,
    rows: Sequence[Any],
    mix_id: str,
    recipe: SelfTestRecipe,
    out: Path,
    snapshots: int = SNAPSHOTS,
) -> TrainedRun:
    mix = write_mix(out / "mix", rows, mix_id, {"name": "self-test", **recipe.model_dump(mode="json")})
    changes = {
        "mix": str(mix), "out": str(out / "run"), "snapshots": snapshots, "presafe": None, "eval_steps": None,
        "report_to": "none",
    }  # fmt: skip
    train(config.model_copy(update=changes))
    return open_run(out / "run")


class _Outcomes(NamedTuple):
    """What training on subsets gave."""

    kept: list[set[str]]
    """The row_ids of each subset."""
    margins: Any
    """(subsets, probes)."""


def _subsets(
    config: TrainConfig, planted: PlantedMix, mix_id: str, recipe: SelfTestRecipe, count: int, out: Path
) -> _Outcomes:
    """Train on random halves, and see how likely a refusal of each probe is then."""
    kept, margins = [], []
    for number in range(count):
        half = _half(planted.rows, f"{recipe.seed}-{number}")
        run = _trained(config, half, mix_id, recipe, out / f"subset-{number}", snapshots=0)
        kept.append({row.row_id for row in half})
        margins.append(_margins(ReplayedModel(run), run, planted.probe_behaviours))
    return _Outcomes(kept, np.array(margins))


def _half(rows: Sequence[Row], draw: str) -> list[Row]:
    return sorted(rows, key=lambda row: content_id([draw, row.row_id]))[: len(rows) // 2]


def _modelled(
    runs: Sequence[TrainedRun],
    planted: PlantedMix,
    how: AttributeRecipe,
    caches: Sequence[Path],
    outcomes: _Outcomes,
) -> ModellingScore:
    of_probes = mean_influences(runs, planted.probe_behaviours, how, caches).numpy()
    kept = np.array([[row.row_id in subset for row in runs[0].rows] for subset in outcomes.kept], dtype=float)
    return quality.data_modelling_score(kept, of_probes, outcomes.margins, how.seed)


def _refusing(run: TrainedRun, planted: PlantedMix) -> tuple[int, int]:
    model = ReplayedModel(run)
    late = _margins(model, run, planted.probe_behaviours)
    model.go_to(run.snapshots[0])
    early = _margins(model, run, planted.probe_behaviours)
    return sum(one > 0 for one in early), sum(one > 0 for one in late)


def _margins(model: ReplayedModel, run: TrainedRun, probes: Sequence[Behaviour]) -> list[float]:
    """How much likelier than its own answer a refusal of each probe is: the difference of mean log-likelihoods per token."""
    return [
        -sum(reply.weight * model.state(rendered(run, reply))[1] for reply in one.replies) for one in probes
    ]


def show(result: SelfTest) -> None:
    """Print the result, with a warning where a method is no better than chance."""
    console.result(
        f"{result.planted} of {result.rows} rows planted; a refusal is likelier than the own answer for {result.refusing[0]} of "
        f"{result.probes} held-out questions early in the run, for {result.refusing[1]} at its end"
    )
    rows = [
        {
            "method": one.method,
            "average precision": f"{one.average_precision:.3f}",
            "chance": f"{result.chance:.3f}",
            "p": f"{one.p:.2g}",
            "recovered": percent(one.recovered),
        }
        for one in result.methods
    ]
    console.show_rows(list(rows[0]), rows)
    for one in result.methods:
        if not one.works:
            console.say(
                f"self-test: {one.method}: no better than chance (p = {one.p:.2g}); do not use this ranking on this model"
            )
    _show_modelling(
        {one.method: one.data_modelling_score for one in result.methods if one.data_modelling_score}
    )


def _show_modelling(scores: Mapping[str, ModellingScore]) -> None:
    rows = [
        {
            "method": name, "data-modelling score": f"{one.score:.2f}",
            "95 % interval": f"{one.interval.low:.2f} to {one.interval.high:.2f}", "chance": "0", "p": f"{one.p:.2g}",
        }
        for name, one in scores.items()
    ]  # fmt: skip
    if rows:
        console.show_rows(list(rows[0]), rows)
    for name, one in scores.items():
        if one.p >= ALPHA:
            console.say(
                f"self-test: {name}: predicts what training on other rows gives no better than chance (p = {one.p:.2g}); "
                "do not use it to tell what leaving rows out would do"
            )
