"""`sft sweep --dry-run`: what a sweep would train and score, from its recipes alone; builds, trains and generates nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from curation import console
from curation.mix.folder import read_manifest
from curation.mix.recipe import MixRecipe
from curation.mix.sweep import find_points
from curation.recipe import Loaded
from sft.scoring.suite_files import ChosenSuite, choose
from sft.sweep import SweepPoint, SweepRecipe, how_asked, plan, smaller


class PlannedRun(NamedTuple):
    """One model of a sweep's table, for one seed."""

    name: str
    seed: int | None
    """Null: it is not trained."""
    model: str
    """What is trained, or asked as it is."""
    mix: str | None
    trained: dict[str, Any]
    """The settings that the sweep varies."""
    suites: dict[str, dict[str, Any]]
    """Suite -> how it is asked."""


class SweepPlan(NamedTuple):
    """What a sweep would do."""

    mixes: dict[str, dict[str, int | str]]
    """Mix -> part -> rows: a count, or what the recipe says."""
    runs: list[PlannedRun]


def sweep_plan(recipe: SweepRecipe) -> SweepPlan:
    """The plan of a sweep.

    Raises:
        RecipeError: naming every fault of the sweep and its recipes.
        UsageError: if there is no such mix, suite or protocol.
    """
    mixes: dict[str, dict[str, int | str]] = {}
    for name in recipe.mixes:
        if (Path(name) / "manifest.json").is_file():
            mixes[Path(name).name] = {"rows": int(str(read_manifest(Path(name)).summary["rows"]))}
            continue
        for point, loaded in find_points(name).items():
            mixes[point] = _rows(smaller(loaded, recipe.take))
    points = plan(recipe, {name: Path(recipe.out) / "mixes" / name for name in mixes})
    return SweepPlan(mixes, [_planned(recipe, point) for point in points])


def _rows(loaded: Loaded[MixRecipe]) -> dict[str, int | str]:
    return {
        name: part.take if isinstance(part.take, int) else str(part.take)
        for name, part in loaded.recipe.parts.items()
    }


def _planned(recipe: SweepRecipe, point: SweepPoint) -> PlannedRun:
    config = point.config
    varied = [axis for axis in recipe.vary if not axis.startswith("score.")]
    settings = config.model_dump() if config else {}
    wanted = [point.score.suite] if isinstance(point.score.suite, str) else point.score.suite
    chosen = choose(wanted, point.score.protocol, how_asked(point.score))
    return PlannedRun(
        point.name,
        config.seed if config else None,
        config.model if config else point.model,
        Path(config.mix).name if config else None,
        {axis: _inner(settings, axis) for axis in varied} if config else {},
        {one.suite.name: _asked(one) for one in chosen},
    )


def _inner(settings: Mapping[str, Any], axis: str) -> Any:
    outer, _, inner = axis.partition(".")
    return _inner(settings[outer], inner) if inner else settings[outer]


def _asked(one: ChosenSuite) -> dict[str, Any]:
    sampling = one.asking.sampling
    return {
        "max_new_tokens": sampling.max_new_tokens, "temperature": sampling.temperature, "top_p": sampling.top_p,
        "samples": one.asking.samples, "think": one.asking.think,
    }  # fmt: skip


def show(found: SweepPlan) -> None:
    """Print a plan."""
    for name, parts in found.mixes.items():
        console.result(f"mix    {name}: {', '.join(f'{part} {rows}' for part, rows in parts.items())}")
    for run in found.runs:
        what = "asked as it is" if run.seed is None else f"trained on {run.mix}, seed {run.seed}"
        varied = "".join(f", {axis} = {value}" for axis, value in run.trained.items())
        thinking = sorted({asked["think"] for asked in run.suites.values()})
        console.result(f"model  {run.name}: {run.model}, {what}{varied}; thinking {', '.join(thinking)}")
    suites = dict.fromkeys(name for run in found.runs for name in run.suites)
    trained = sum(run.seed is not None for run in found.runs)
    console.result(f"suites {', '.join(suites)}")
    console.say(f"sweep: {trained} runs to train, {len(found.runs)} models to score; nothing has been done")
