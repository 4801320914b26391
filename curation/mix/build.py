"""`curate build-mix`: builds a training mix from a corpus and a recipe, byte-identical every time.

Long texts are kept out of the queries: traces are selected on narrow columns (`picking`), then only the texts of the selected
ones are read and written (`folder`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from curation import console
from curation.corpus.query import Connection, connect
from curation.corpus.store import Store
from curation.mix import checks, folder, picking, summary
from curation.mix.recipe import MixRecipe
from curation.mix.rewriting import rewriter
from curation.mix.sweep import Points, load_points
from curation.mix.tokens import TokenCounter
from curation.recipe import Loaded
from curation.versions import versions
from schemas.errors import RecipeError
from schemas.manifest import Manifest

STAGE = "build-mix"
KEEPS = "nothing was written, and an earlier mix in this folder is as it was; run the same command again"


def run(corpus_dir: Path, recipe: Path | Loaded[MixRecipe], *, out: Path) -> Manifest:
    """Build the mix of a recipe into the folder `out`, replacing an earlier build there.

    Raises:
        RecipeError: for faults in the recipe, too few matching traces, or an empty mix.
        CorpusError: if the corpus or the output folder cannot be used.
    """
    if isinstance(recipe, Path):
        points = load_points(recipe)
        if len(points) > 1:
            raise RecipeError(f"{recipe}: a sweep of {len(points)} mixes; build all of them with run_all")
        (recipe,) = points.values()
    return build(recipe, Store(corpus_dir), out)


def run_all(corpus_dir: Path, points: Points, *, out: Path) -> list[Manifest]:
    """Build each point of a sweep into a folder of its name below `out`; what can be built is, even if others cannot.

    Raises:
        RecipeError: naming every fault of every point that could not be built.
        CorpusError: if the corpus or the output folder cannot be used.
    """
    corpus = Store(corpus_dir)
    manifests, faults = [], {}
    for name, loaded in points.items():
        try:
            manifests.append(build(loaded, corpus, out / name))
        except RecipeError as error:
            faults[name] = str(error)
    if faults:
        done = f"{len(manifests)} of {len(points)} mixes were built in {out}; these failed:\n"
        raise RecipeError(done + "\n".join(f"{name}:\n{fault}" for name, fault in faults.items()))
    return manifests


def build(
    loaded: Loaded[MixRecipe], corpus: Store, out: Path, snapshot: summary.Snapshot | None = None
) -> Manifest:
    """Build one mix; with a snapshot, of the corpus as it was then.

    Raises:
        RecipeError: for faults in the recipe, too few matching traces, or an empty mix.
        CorpusError: if the output folder cannot be used.
    """
    recipe, lines = loaded
    folder.check_target(out)
    connection = connect(corpus, parts=snapshot.parts if snapshot else None, policy=recipe.consensus)
    _demand(checks.expression_faults(connection, recipe, lines))
    with console.progress(f"{STAGE} {recipe.name}", len(recipe.parts) + 2, "steps", KEEPS) as advance:
        tallies = decide(connection, recipe, corpus, advance)
    _demand(checks.wish_faults(connection, tallies, recipe, lines))
    rows = _rewritten(folder.chosen_rows(connection, "train"), loaded)
    validation = (
        _rewritten(folder.chosen_rows(connection, "validation"), loaded) if recipe.validation else None
    )
    rows, validation = folder.plainly(rows, validation)
    _warn(connection, recipe, tallies, rows.num_rows, validation)
    dumped = recipe.model_dump(mode="json")
    manifest = Manifest(
        stage=STAGE,
        inputs=snapshot.inputs if snapshot else summary.sources(corpus),
        recipe=dumped,
        seed=recipe.seed,
        versions=versions("lrm-curate", "duckdb", "pyarrow"),
        counts=summary.counts(connection),
        summary={
            "tokens_counted_by": TokenCounter(recipe.tokenizer).describe(),
            "annotators": summary.annotators(connection),
            "parts": {name: tally._asdict() for name, tally in picking.written(connection, tallies).items()},
            **summary.summarise(rows),
            **({} if validation is None else {"validation_rows": validation.num_rows}),
        },
    )
    return folder.write(out, rows, manifest, recipe.jsonl, validation)


def decide(
    connection: Connection, recipe: MixRecipe, corpus: Store, advance: Callable[[], None] = lambda: None
) -> dict[str, picking.PartTally]:
    """Decide the state of every trace in the table `decisions`; returns each part's counts."""
    picking.prepare(connection, recipe, corpus)
    advance()
    tallies = {}
    for name in recipe.parts:
        tallies[name] = picking.pick(connection, name, recipe)
        advance()
    picking.finish(connection, recipe)
    advance()
    return tallies


def _demand(faults: list[str]) -> None:
    if faults:
        raise RecipeError("\n".join(faults))


def _rewritten(rows: Any, loaded: Loaded[MixRecipe]) -> Any:
    """The rows with the reasoning of parts that ask for it in its other form, and their lengths counted again."""
    import pyarrow as pa

    recipe, lines = loaded
    forms = {
        name: rewriter(part.rewrite, lines.file_of(("parts", name, "rewrite")))
        for name, part in recipe.parts.items()
        if part.rewrite
    }
    if not forms:
        return rows
    plain = rows.to_pylist()
    changed = [row for row in plain if row["part"] in forms]
    for name, rewrite in forms.items():
        mine = [row for row in changed if row["part"] == name]
        for row, text in zip(mine, rewrite(mine), strict=True):
            row["reasoning"] = text
    lengths = TokenCounter(recipe.tokenizer).count_rows(changed)
    for row, tokens in zip(changed, lengths, strict=True):
        row["tokens"] = tokens
    return pa.Table.from_pylist(plain, rows.schema)


def _warn(
    connection: Connection,
    recipe: MixRecipe,
    tallies: dict[str, picking.PartTally],
    rows: int,
    validation: Any,
) -> None:
    if not rows:
        raise RecipeError("all rows are in the validation split; lower validation")
    for name, tally in tallies.items():
        if tally.kept == 0:
            console.say(
                f'warning: part "{name}" is empty: none of {tally.matched} matching traces can be used'
            )
            for line in checks.passing(connection, recipe.parts[name], tally):
                console.say(line)
        for shortage in tally.shortages:
            console.say(f'warning: part "{name}": {shortage}')
    if validation is not None and not validation.num_rows:
        console.say("warning: the validation split is empty: no prompt family is in it; raise validation")
