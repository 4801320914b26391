"""`sft sweep`: mixes x settings x seeds, each trained and scored beside the untrained model, compared in one table.

Everything is resumable: mixes are rebuilt to the same bytes, finished runs are not trained again, and answered prompts are not
generated again. Runs that differ only in their seed count as samples of each prompt, so intervals are clustered by prompt. A run that
fails is told in the table and stops no other.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from curation import console
from curation.corpus.store import write_file
from curation.engines.settings import EngineSettings
from curation.mix import build as mix
from curation.mix.recipe import MixRecipe
from curation.mix.sweep import find_points
from curation.recipe import Loaded, Recipe, load_recipe
from schemas.choices import Dtype, EngineKind, ScoredThink, meant
from schemas.errors import RecipeError, TrainingError, UsageError
from sft import devices
from sft.comparison import stage as compare
from sft.comparison import tables
from sft.comparison.results import Comparison, ScoredModel
from sft.scoring import judging
from sft.scoring import stage as score
from sft.scoring.suite_files import HowAsked, choose
from sft.training.config import TrainConfig
from sft.training.stage import train

Value = str | int | float | bool | None
MAX_RUNS = 1000


UNTRAINED = "untrained"
"""The row of the model before training."""
SCORED = "score."
"""Keys of `vary` that begin so change how a run is scored, not how it is trained."""


class ScoreSettings(Recipe):
    """How each model is scored."""

    corpus: str
    """The evaluation corpus."""
    suite: str | tuple[str, ...] = "all"
    """Suites by name; all that the corpus has prompts for by default."""
    protocol: str | None = None
    """Suites with a paper's settings."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Ask at most so many prompts of each suite."""
    engine: EngineKind = "auto"
    dtype: Dtype = "auto"
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    samples: Annotated[int, Field(ge=1)] | None = None
    think: ScoredThink | None = None
    """These five in place of what the suites say."""
    annotators: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Null: the rules, and of refusals the embedded classifier where it can be loaded."""
    judge: tuple[str, ...] = ()
    """Judges with a model, such as guard:llama-guard."""
    judge_model: str | None = None
    judge_url: str | None = None
    untrained: bool = True
    """Also score the model before training."""


class SweepRecipe(Recipe):
    """The recipe of `sft sweep`."""

    out: str
    """Output folder for mixes, runs and the report."""
    mixes: list[str]
    """Folders of built mixes, recipe files, or names of shipped recipes (with all points of their sweeps); none: nothing is trained."""
    corpus: str = "corpus"
    """The corpus that recipes are built from."""
    take: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Part of the mixes' recipes -> at most so many rows of it, for a trial."""
    train: dict[str, Any]
    """A recipe of `sft run` without mix, out and seed."""
    vary: dict[str, list[Value] | dict[str, Value]] = Field(default_factory=dict)
    """Key of the training recipe ("presafe.weight" for nested ones), or "score." and a key of `score` -> its values, or label: value."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (42,)
    score: ScoreSettings
    base: str | None = None
    """The row that the others are measured against, with intervals."""


class SweepPoint(NamedTuple):
    """One row of the table, for one seed."""

    name: str
    """What distinguishes it, except the seed."""
    config: TrainConfig | None
    """Null: the model is scored as it is."""
    score: ScoreSettings
    model: str
    """What is scored: the run's folder, or the untrained model."""
    scores: Path
    """Folder of the scores."""

    @property
    def title(self) -> str:
        """Name and seed."""
        return self.name if self.config is None else f"{self.name}, seed {self.config.seed}"


class SweepResult(NamedTuple):
    """A finished sweep."""

    comparison: Comparison
    failed: dict[str, str]
    """Runs that failed, and why."""


def train_and_compare(path: Path) -> SweepResult:
    """Build, train, score and compare a sweep; run it again to resume. Writes table.md, table.csv and compare.html.

    Raises:
        RecipeError: naming every fault of the sweep and its recipes, before anything is trained.
        TrainingError: if every run failed.
    """
    return carry_out(load_recipe(path, SweepRecipe).recipe)


def shipped_sweeps() -> dict[str, Path]:
    """The sweeps that come with the package, by name."""
    folder = Path(str(files("sft") / "recipes" / "sweeps"))
    return {path.stem: path for path in sorted(folder.glob("[!_]*.yaml"))}


def find_sweep(name: str) -> SweepRecipe:
    """The recipe of a file, or a shipped one by name.

    Raises:
        UsageError: if there is none; lists the shipped names.
        RecipeError: naming every fault of the file with its line.
    """
    shipped = shipped_sweeps()
    if not Path(name).is_file() and name not in shipped:
        raise UsageError(
            f"{name}: no such file, and no shipped sweep{meant(name, shipped)}; shipped: {', '.join(shipped)}"
        )
    return load_recipe(shipped.get(name, Path(name)), SweepRecipe).recipe


def carry_out(recipe: SweepRecipe) -> SweepResult:
    """The same, of a recipe."""
    out = Path(recipe.out)
    mixes = dict(_mixes(recipe, out / "mixes"))
    points = plan(recipe, mixes)
    console.say(f"sweep: {len(mixes)} mixes, {len(points)} models to score")
    failed = devices.each(points, _work, [point.title for point in points])
    comparison = compared(points, failed, recipe.base)
    tables.write_page(comparison, out / "compare.html", Path(recipe.out).name)
    write_file(out / "table.md", tables.markdown(comparison).encode())
    write_file(out / "table.csv", tables.csv(comparison).encode())
    return SweepResult(comparison, failed)


def compared(points: Sequence[SweepPoint], failed: Mapping[str, str], base: str | None = None) -> Comparison:
    """The table of the points that did not fail, with the others and the spread between seeds told under it.

    Raises:
        TrainingError: if all failed.
        DataError: if there is no row of the name `base`.
    """
    done = [point for point in points if point.title not in failed]
    if not done:
        raise TrainingError("no run is finished:\n" + "\n".join(f"{n}: {why}" for n, why in failed.items()))
    by_name = [(name, list(group)) for name, group in itertools.groupby(done, key=lambda point: point.name)]
    comparison = compare.compare([_merged(name, group) for name, group in by_name], base)
    spread = {name: _spread(comparison, group) for name, group in by_name if len(group) > 1}
    return comparison._replace(failed=dict(failed), spread=spread)


def plan(recipe: SweepRecipe, mixes: Mapping[str, Path]) -> list[SweepPoint]:
    """Every row of a sweep's table, for every seed: the untrained models first.

    Raises:
        RecipeError: naming every invalid setting.
    """
    axes = {
        name: values if isinstance(values, dict) else {str(v): v for v in values}
        for name, values in recipe.vary.items()
    }
    count = max(1, len(mixes)) * len(recipe.seeds) * math.prod(len(values) for values in axes.values())
    if count > MAX_RUNS:
        raise RecipeError(f"a sweep of {count} runs; the maximum is {MAX_RUNS}: vary less")
    points: list[SweepPoint] = []
    faults: dict[str, str] = {}
    for mix_name, folder in (mixes or {UNTRAINED: Path(UNTRAINED)}).items():
        for labels in itertools.product(*axes.values()):
            chosen = dict(zip(axes, labels, strict=True))
            values = {axis: axes[axis][label] for axis, label in chosen.items()}
            for seed in recipe.seeds:
                try:
                    points.append(_point(recipe, mix_name, folder, chosen, values, seed))
                except ValueError as error:
                    faults[str(error)] = "-".join([mix_name, *_labels(chosen)])
    if faults:
        raise RecipeError("\n".join(f"{name}: {fault}" for fault, name in faults.items()))
    found = [*_untrained(recipe, points), *(points if mixes else ())]
    if not found:
        raise RecipeError(
            "a sweep without mixes scores models as they are: leave score.untrained on, or name mixes"
        )
    return found


def _point(
    recipe: SweepRecipe,
    mix_name: str,
    folder: Path,
    chosen: Mapping[str, str],
    values: Mapping[str, Value],
    seed: int,
) -> SweepPoint:
    trained = {axis: label for axis, label in chosen.items() if not axis.startswith(SCORED)}
    place = Path("-".join([mix_name, *_labels(trained)])) / f"seed-{seed}"
    name = "-".join([mix_name, *_labels(chosen)])
    given = _changed(recipe.train, {axis: values[axis] for axis in trained})
    given |= {"mix": str(folder), "out": str(Path(recipe.out) / "runs" / place), "seed": seed}
    changes = {axis.removeprefix(SCORED): v for axis, v in values.items() if axis.startswith(SCORED)}
    settings = ScoreSettings.model_validate(_changed(recipe.score.model_dump(), changes))
    run_folder = Path(given["out"])
    scores = Path(recipe.out) / "scores" / name / f"seed-{seed}" if changes else run_folder
    return SweepPoint(name, TrainConfig.model_validate(given), settings, given["out"], scores)


def _labels(chosen: Mapping[str, str]) -> list[str]:
    return [f"{axis.rsplit('.', 1)[-1]}={label}" for axis, label in chosen.items()]


def _untrained(recipe: SweepRecipe, points: Sequence[SweepPoint]) -> list[SweepPoint]:
    """Every model that is trained, as it was before, under every way of scoring."""
    if not recipe.score.untrained:
        return []
    found: dict[tuple[str, ScoreSettings], SweepPoint] = {}
    models = {point.config.model for point in points if point.config}
    ways = {point.score for point in points}
    for point in points:
        assert point.config is not None
        model = point.config.model
        name = UNTRAINED if len(models) == 1 else f"{UNTRAINED} {Path(model).name}"
        if len(ways) > 1:
            changed = point.score.model_dump().items() - recipe.score.model_dump().items()
            name = "-".join([name, *(f"{key}={value}" for key, value in sorted(changed))])
        scores = Path(recipe.out) / "scores" / name.replace(" ", "-")
        found.setdefault((model, point.score), SweepPoint(name, None, point.score, model, scores))
    return list(found.values())


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
            built = mix.run(Path(recipe.corpus), smaller(loaded, recipe.take), out=folder / point)
            console.say_counts(point, built.counts)


def smaller(loaded: Loaded[MixRecipe], take: Mapping[str, int]) -> Loaded[MixRecipe]:
    """The recipe with at most so many rows of some parts."""
    parts = {
        name: part.model_copy(update={"take": min(take[name], part.take)})
        if name in take and isinstance(part.take, int)
        else part
        for name, part in loaded.recipe.parts.items()
    }
    return loaded._replace(recipe=loaded.recipe.model_copy(update={"parts": parts}))


def _work(point: SweepPoint) -> Iterator[devices.Step]:
    """What a point needs, in steps that leave nothing in memory behind them."""
    if point.config is not None:
        yield devices.Step(_train, (point.config,))
    yield devices.Step(_score, (point.score, point.model, point.scores))


def _train(config: TrainConfig) -> None:
    train(config)


def how_asked(settings: ScoreSettings) -> HowAsked:
    """What is asked in another way than the suites say."""
    names = HowAsked.model_fields.keys() & ScoreSettings.model_fields.keys()
    return HowAsked.model_validate({name: getattr(settings, name) for name in names})


def _score(settings: ScoreSettings, model: str, out: Path) -> None:
    suites = [settings.suite] if isinstance(settings.suite, str) else settings.suite
    score.score_model(
        Path(settings.corpus),
        EngineSettings(kind=settings.engine, model=model, dtype=settings.dtype),
        suites=choose(suites, settings.protocol, how_asked(settings)),
        judging=judging.recipe(settings.annotators, settings.judge, settings.judge_model, settings.judge_url),
        out=out,
        limit=settings.limit,
    )


def _merged(name: str, group: Sequence[SweepPoint]) -> ScoredModel:
    """One model: the replies of its seeds are samples of each prompt."""
    seeds = compare.load([point.scores for point in group], [point.title for point in group])
    outcomes = []
    for number, one in enumerate(seeds):
        samples = {
            suite.suite: suite.asked_how.samples if suite.asked_how else 1 for suite in one.scores.suites
        }
        outcomes += [o._replace(sample=number * samples[o.suite] + o.sample) for o in one.outcomes]
    suites = [
        suite.model_copy(update={"judges": _added(suite.suite, seeds)}) for suite in seeds[0].scores.suites
    ]
    return ScoredModel(name, seeds[0].scores.model_copy(update={"suites": suites}), outcomes)


def _added(name: str, seeds: Sequence[ScoredModel]) -> dict[str, int]:
    """How many replies of a suite each judge decided, in all seeds."""
    found: Counter[str] = Counter()
    for suite in (suite for one in seeds for suite in one.scores.suites if suite.suite == name):
        found.update(suite.judges)
    return dict(found.most_common())


def _spread(comparison: Comparison, group: Sequence[SweepPoint]) -> dict[str, list[float]]:
    """The rate of each seed by column."""
    seeds = compare.load([point.scores for point in group], [point.title for point in group])
    found = {}
    for name, column in comparison.details.items():
        rates = [compare.rate_in(one, column) for one in seeds]
        known = [rate.rate for rate in rates if rate and rate.rate is not None]
        if len(known) > 1:
            found[name] = known
    return found
