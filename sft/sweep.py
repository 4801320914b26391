"""`sft sweep`: mixes x settings x seeds, each trained and scored, compared in one report.

Everything is resumable: mixes are rebuilt to the same bytes, finished runs are not trained again, and answered prompts are not
generated again. Runs that differ only in their seed count as samples of each prompt, so intervals are clustered by prompt.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from curation import console
from curation.annotate.stage import AnnotateRecipe
from curation.corpus.store import write_file
from curation.engines import Sampling
from curation.engines.settings import EngineSettings
from curation.mix import build as mix
from curation.mix.sweep import find_points
from curation.recipe import Recipe, load_recipe
from schemas.choices import EngineKind, Suite
from schemas.errors import CurateError, RecipeError, TrainingError
from sft.comparison import stage as compare
from sft.comparison import tables
from sft.scoring import stage as score
from sft.scoring.asking import Asking
from sft.training.config import TrainConfig
from sft.training.stage import train

Value = str | int | float | bool | None
MAX_RUNS = 1000


class ScoreSettings(Recipe):
    """How each model is scored."""

    corpus: str
    """The evaluation corpus."""
    suite: Suite | Literal["all"] = "all"
    engine: EngineKind = "auto"
    max_new_tokens: Annotated[int, Field(ge=1)] = 4096
    temperature: Annotated[float, Field(ge=0)] = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1
    samples: Annotated[int, Field(ge=1)] = 1
    annotators: Annotated[tuple[str, ...], Field(min_length=1)] = ("rules", "overrefusal")


class SweepRecipe(Recipe):
    """The recipe of `sft sweep`."""

    out: str
    """Output folder for mixes, runs and the report."""
    mixes: Annotated[list[str], Field(min_length=1)]
    """Folders of built mixes, recipe files, or names of shipped recipes (with all points of their sweeps)."""
    corpus: str = "corpus"
    """The corpus that recipes are built from."""
    train: dict[str, Any]
    """A recipe of `sft run` without mix, out and seed."""
    vary: dict[str, list[Value] | dict[str, Value]] = Field(default_factory=dict)
    """Key of the training recipe ("presafe.weight" for nested ones) -> its values, or label: value."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (42,)
    score: ScoreSettings


class SweepPoint(NamedTuple):
    """One run of a sweep."""

    name: str
    """What distinguishes it, except the seed."""
    config: TrainConfig


def train_and_compare(path: Path) -> compare.Comparison:
    """Build, train, score and compare a sweep; run it again to resume.

    Raises:
        RecipeError: naming every fault of the sweep and its recipes, before anything is trained.
        TrainingError: naming the runs that failed, after all others have finished.
    """
    recipe = load_recipe(path, SweepRecipe).recipe
    out = Path(recipe.out)
    mixes = dict(_mixes(recipe, out / "mixes"))
    points = plan(recipe, mixes)
    console.say(f"sweep: {len(mixes)} mixes, {len(points)} runs")
    failed = []
    for number, point in enumerate(points, 1):
        console.say(f"sweep: {number} of {len(points)}: {point.name}, seed {point.config.seed}")
        try:
            train(point.config)
            _score(recipe.score, Path(point.config.out))
        except CurateError as error:
            failed.append(f"{point.config.out}: {error}")
    if failed:
        done = f"{len(points) - len(failed)} of {len(points)} runs are finished; not these:\n"
        raise TrainingError(done + "\n".join(failed))
    comparison = compare.compare(list(merge_seeds(points)))
    tables.write_page(comparison, out / "compare.html", Path(recipe.out).name)
    write_file(out / "table.md", tables.markdown(comparison).encode())
    write_file(out / "table.csv", tables.csv(comparison).encode())
    return comparison


def plan(recipe: SweepRecipe, mixes: Mapping[str, Path]) -> list[SweepPoint]:
    """Every run of a sweep.

    Raises:
        RecipeError: naming every invalid setting.
    """
    axes = {
        name: values if isinstance(values, dict) else {str(v): v for v in values}
        for name, values in recipe.vary.items()
    }
    count = len(mixes) * len(recipe.seeds) * math.prod(len(values) for values in axes.values())
    if count > MAX_RUNS:
        raise RecipeError(f"a sweep of {count} runs; the maximum is {MAX_RUNS}: vary less")
    points, faults = [], {}
    for mix_name, folder in mixes.items():
        for labels in itertools.product(*axes.values()):
            name = "-".join(
                [
                    mix_name,
                    *(f"{axis.rsplit('.', 1)[-1]}={label}" for axis, label in zip(axes, labels, strict=True)),
                ]
            )
            for seed in recipe.seeds:
                given = _changed(
                    recipe.train, {axis: axes[axis][label] for axis, label in zip(axes, labels, strict=True)}
                )
                given |= {
                    "mix": str(folder),
                    "out": str(Path(recipe.out) / "runs" / name / f"seed-{seed}"),
                    "seed": seed,
                }
                try:
                    points.append(SweepPoint(name, TrainConfig.model_validate(given)))
                except ValueError as error:
                    faults[str(error)] = name
    if faults:
        raise RecipeError("\n".join(f"{name}: {fault}" for fault, name in faults.items()))
    return points


def _changed(config: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    changed = dict(config)
    for place, value in values.items():
        outer, _, inner = place.partition(".")
        changed[outer] = _changed(changed.get(outer) or {}, {inner: value}) if inner else value
    return changed


def _mixes(recipe: SweepRecipe, folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and folder of each mix; recipes are built."""
    for name in recipe.mixes:
        if (Path(name) / "manifest.json").is_file():
            yield Path(name).name, Path(name)
            continue
        points = find_points(name)
        for point in points:
            yield point, folder / point
        for point, loaded in points.items():
            console.say_counts(point, mix.run(Path(recipe.corpus), loaded, out=folder / point).counts)


def _score(settings: ScoreSettings, run_folder: Path) -> None:
    sampling = Sampling(
        max_new_tokens=settings.max_new_tokens, temperature=settings.temperature, top_p=settings.top_p
    )
    score.score_model(
        Path(settings.corpus),
        EngineSettings(kind=settings.engine, model=str(run_folder)),
        suite=settings.suite,
        asking=Asking(sampling, settings.samples),
        judging=AnnotateRecipe(annotators=list(settings.annotators)),
    )


def merge_seeds(points: list[SweepPoint]) -> Iterator[compare.ScoredModel]:
    """One model per name: the replies of its seeds are samples of each prompt."""
    for name, group in itertools.groupby(points, key=lambda point: point.name):
        seeds = compare.load([Path(point.config.out) for point in group])
        samples = seeds[0].scores.samples
        outcomes = [
            outcome._replace(sample=number * samples + outcome.sample)
            for number, one in enumerate(seeds)
            for outcome in one.outcomes
        ]
        yield compare.ScoredModel(name, seeds[0].scores, outcomes)
