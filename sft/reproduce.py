"""`sft reproduce study`: the study's whole chain with one model, and its table beside the published one.

Mixes are built from a corpus that has the traces of every strategy, a model is trained on each, all are scored with the study's protocol.
It is a sweep (`sft/recipes/reproduce`), so it resumes where it stopped.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from curation import console
from curation.corpus.filling import sql_file
from curation.corpus.query import open_tables, select
from curation.corpus.store import Store, write_file
from curation.mix.sweep import find_points
from curation.recipe import Recipe, from_options, load_merged, load_recipe
from schemas.choices import Device
from schemas.errors import CurateError, RecipeError
from sft import sweep
from sft.comparison.results import Comparison
from sft.scoring.asked import load_prompts
from sft.scoring.suite_files import ALL, choose, find_protocol
from sft.training import plan
from sft.training.config import TrainConfig

FOLDER = files("sft") / "recipes" / "reproduce"
TABLE = "published.md"
DEVICE: Device = "h100"
"""The GPU of the estimate."""


class PublishedTable(Recipe):
    """A published table."""

    model: str
    source: str
    asked: dict[str, int]
    """Column -> replies."""
    rates: dict[str, dict[str, float]]
    """Row -> column -> percent."""


class ReproductionPlan(NamedTuple):
    """What would be done, and about how much it is."""

    mixes: dict[str, int]
    """Mix -> rows."""
    training_tokens: int
    """Of one mix, with one of the corpus's mean traces per row."""
    hours: float | None
    """For all runs on one device; null if the model is not here."""
    suites: dict[str, dict[str, int]]
    """Suite -> its prompts, replies of one model, and the most tokens that these can have."""
    models: int
    """Trained ones and the untrained one."""


def recipe(
    study: str,
    model: str,
    corpus: Path,
    evaluation: Path,
    out: Path,
    changes: Mapping[tuple[str, ...], Any],
    training: Path | None = None,
) -> sweep.SweepRecipe:
    """The sweep of a study with its gaps filled in.

    Args:
        study: name of the recipe.
        model: what is trained.
        corpus: has the traces of every strategy.
        evaluation: has the prompts of the protocol's suites.
        out: folder for mixes, runs and tables.
        changes: field path -> value; null means not given.
        training: a YAML file with other settings of `sft run`.

    Raises:
        RecipeError: naming every fault.
    """
    other = load_merged(training)[0] if training else {}
    if not isinstance(other, dict):
        raise RecipeError(f"{training}: write settings of `sft run` as name: value")
    given: dict[tuple[str, ...], Any] = {
        ("out",): str(out),
        ("corpus",): str(corpus),
        ("score", "corpus"): str(evaluation),
        **{("train", name): value for name, value in other.items() if name not in ("mix", "out", "seed")},
        ("train", "model"): model,
    }
    return from_options(sweep.SweepRecipe, Path(str(FOLDER / f"{study}.yaml")), given | dict(changes))


def published(study: str) -> PublishedTable:
    """The published table of a study."""
    return load_recipe(Path(str(FOLDER / f"{study}-table1.yaml")), PublishedTable).recipe


def carry_out(study: str, chosen: sweep.SweepRecipe) -> sweep.SweepResult:
    """Do the whole chain and write the table beside the published one; raises as `sft.sweep.carry_out` does."""
    result = sweep.carry_out(chosen)
    text = beside(result.comparison, published(study))
    write_file(Path(chosen.out) / TABLE, text.encode())
    return result


def beside(comparison: Comparison, table: PublishedTable) -> str:
    """Both tables in Markdown: ours with interval and counts, the published rate, and whether it lies in our interval."""
    columns = [name for name in table.asked if name in comparison.columns]
    missing = [name for name in table.asked if name not in comparison.columns]
    lines = [["model", *(f"{name}, {side}" for name in columns for side in ("here", "published"))]]
    lines.append(["---"] * len(lines[0]))
    for model, cells in comparison.table.items():
        ours = dict(cells)
        row = [model]
        for name in columns:
            rate = ours[name]
            theirs = table.rates.get(model, {}).get(name)
            shown = next(cell.text for cell in cells if cell.column == name)
            within = rate and rate.low is not None and rate.high is not None and theirs is not None
            inside = within and rate and 100 * (rate.low or 0) <= (theirs or 0) <= 100 * (rate.high or 0)
            mark = "" if not within else ", within" if inside else ", outside"
            row += [shown, "-" if theirs is None else f"{theirs:.1f} (n = {table.asked[name]}{mark})"]
        lines.append(row)
    text = "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
    notes = [
        f"Published: {table.source}, {table.model}. In percent; within: the published rate lies in our 95 % interval.",
        *(f"Not scored here: {', '.join(missing)}." for _ in missing[:1]),
        *comparison.notes,
    ]
    return text + "".join(f"\n{' '.join(note.split())}\n" for note in notes)


def estimate(chosen: sweep.SweepRecipe) -> ReproductionPlan:
    """What the chain would do; trains, generates and writes nothing.

    Raises:
        CorpusError: if a corpus is missing.
        DataError: if the evaluation corpus has no prompts of the protocol.
    """
    mixes = {
        name: sum(
            min(part.take, chosen.take.get(key, part.take)) if isinstance(part.take, int) else 0
            for key, part in loaded.recipe.parts.items()
        )
        for given in chosen.mixes
        for name, loaded in find_points(given).items()
    }
    traces = select(open_tables(Store(Path(chosen.corpus))), sql_file("sft", "mean_tokens.sql")).to_pylist()
    mean = float(traces[0]["tokens"] or 0)
    rows = max(mixes.values(), default=0)
    suites = {}
    wanted = choose([ALL], chosen.score.protocol, sweep.how_asked(chosen.score))
    for one in load_prompts(Store(Path(chosen.score.corpus)), wanted, chosen.score.limit):
        replies = sum(len(way.prompts) * way.asking.samples for way in one.ways)
        suites[one.suite.name] = {
            "prompts": len(one.prompts),
            "replies": replies,
            "most_tokens": replies * one.asking.sampling.max_new_tokens,
        }
    hours = _hours(chosen, rows, round(mean * rows))
    return ReproductionPlan(
        mixes,
        round(mean * rows),
        None if hours is None else round(hours * len(mixes) * len(chosen.seeds), 3),
        suites,
        len(mixes) * len(chosen.seeds) + 1,
    )


def _hours(chosen: sweep.SweepRecipe, rows: int, tokens: int) -> float | None:
    try:
        config = TrainConfig.model_validate({**chosen.train, "mix": "mix", "out": "out"})
        shape = plan.shape_of(config.model, config.revision)
    except CurateError:
        return None
    return plan.estimate(shape, config, rows, tokens, 1, plan.DEVICES[DEVICE][1], "none").hours


def show_plan(found: ReproductionPlan) -> None:
    """Print an estimate."""
    console.result(
        f"mixes     {len(found.mixes)}: {', '.join(f'{n} ({rows} rows)' for n, rows in found.mixes.items())}"
    )
    hours = (
        "unknown: the model is not here"
        if found.hours is None
        else f"{found.hours:.2f} hours on one {DEVICE}"
    )
    console.result(f"training  about {found.training_tokens:,} tokens a mix; all runs {hours}")
    for name, one in found.suites.items():
        console.result(
            f"scoring   {name}: {one['prompts']} prompts, {one['replies']} replies, at most {one['most_tokens']:,} tokens"
        )
    console.result(f"models    {found.models}, the untrained one among them; nothing has been done")


def notes(chosen: sweep.SweepRecipe) -> tuple[str, ...]:
    """Where the study's paper and its code differ."""
    return find_protocol(chosen.score.protocol).notes if chosen.score.protocol else ()
