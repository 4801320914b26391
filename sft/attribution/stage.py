"""`sft attribute`: which rows of a run's mix made the trained model do what it does.

The influence of a row on a behaviour is how far a step on the row alone would have moved the model toward the behaviour, summed over the run's
snapshots (TracIn, arXiv 2002.08484): learning rate x product of the row's gradient, scaled as Adam scaled it there, and the behaviour's. LESS
(arXiv 2402.04333) takes the cosine instead. Method `states` is the cheap baseline: the cosine of mean hidden states of the trained model;
method `loss` ranks rows by what the trained model has not learned of them. Of several runs the mean is taken, as TRAK does (arXiv 2303.14186).

    OUT/gradients-ID/identity.json                    what the cache is of
    OUT/gradients-ID/step-000012/rows-...safetensors  the rows' projected gradients at a snapshot (`features`); kept for other behaviours
    OUT/influence-ID.parquet                          the result (`ranking.INFLUENCES`)
    OUT/influence-ID.html                             the strongest rows, masked
    OUT/influence-ID.json                             its manifest
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curation import console
from curation.corpus.store import write_file, write_parquet
from curation.versions import versions
from schemas.ids import content_id
from schemas.manifest import Counts, InputFile, Manifest
from sft.attribution import ranking
from sft.attribution.behaviours import Behaviour, behaviours
from sft.attribution.influence import mean_influences
from sft.attribution.leave_out import families_of
from sft.attribution.page import write_page
from sft.attribution.recipe import AttributeRecipe
from sft.attribution.replay import TrainedRun, fitting, open_runs
from sft.attribution.storing import store

STAGE = "attribute"
FOLDER = "attribution"
STRONGEST = 20
"""Rows of each behaviour that the manifest names."""


def attribute(
    run: Path,
    on: Path,
    evaluation: Path,
    recipe: AttributeRecipe,
    *,
    other: Path | None = None,
    also: Sequence[Path] = (),
    corpus: Path | None = None,
    out: Path | None = None,
) -> Manifest:
    """Rank the rows of a run's mix for behaviours of its model; goes on where a killed call stopped.

    Args:
        run: a finished run; with `snapshots` in its recipe, its course is followed, else only its end is known.
        on: the scored model, a run or a folder of scores: usually `run` itself.
        evaluation: the corpus that it was scored on.
        recipe: what is ranked, and how.
        other: scores of another model: only prompts that flipped between the two.
        also: runs of the same config with other seeds; influences are then means over all runs.
        corpus: the corpus of the mix, to keep the result in as well (table `influences`).
        out: folder of the result and of the cache; `attribution` in the run's folder by default, and each run's cache in its own.

    Raises:
        DataError: if there is no finished run, it was trained with another loss, its mix is not the one it was trained on, another run differs
            in more than its seed or is given twice, or there are no such outcomes.
        UsageError: if there is no such suite or measure.
        CorpusError: if `corpus` is none, or cannot be written.
        RenderError: if a reply cannot be rendered.
        EngineError: if the model cannot be loaded.
    """
    asked = behaviours(on, evaluation, recipe.wanted, other)
    runs = open_runs([run, *also])
    wanted = fitting(runs[0], asked)
    folders = [out or one.folder / FOLDER for one in runs]
    rows, folder = runs[0].rows, folders[0]
    scores = mean_influences(runs, wanted, recipe, folders)
    result = ranking.table(rows, [one.name for one in wanted], recipe.method, scores)
    manifest = _manifest(runs, wanted, recipe, result)
    name = f"influence-{content_id([manifest.recipe, manifest.summary['behaviours']])[:12]}"
    manifest.summary.update(file=f"{name}.parquet", page=f"{name}.html")
    if corpus:
        manifest.summary["version"] = store(corpus, result, manifest)
    write_parquet(folder / f"{name}.parquet", result)
    write_page(folder / f"{name}.html", rows, result, manifest, families_of(corpus) if corpus else None)
    write_file(folder / f"{name}.json", manifest.model_dump_json(indent=2).encode() + b"\n")
    console.say(f"attribute: {folder / name}.html")
    return manifest


def _manifest(
    runs: Sequence[TrainedRun], wanted: Sequence[Behaviour], recipe: AttributeRecipe, result: Any
) -> Manifest:
    run, models = runs[0], [one.model for one in runs]
    counts = Counts(rows=result.num_rows // len(wanted) + run.dropped, kept=result.num_rows // len(wanted))
    if run.dropped:
        counts.add("filtered", "overlong", run.dropped)
    told = [{"name": one.name, "with": one.sides[0], "without": one.sides[1]} for one in wanted]
    return Manifest(
        stage=STAGE,
        inputs=[InputFile(name=run.mix.resolve().name, blake2b=run.mix_id)],
        recipe={**recipe.model_dump(mode="json"), "models": models, "behaviours": content_id(wanted)},
        seed=recipe.seed,
        versions=versions("lrm-curate", "torch", "transformers"),
        counts=counts,
        summary={"behaviours": told, "snapshots": len(run.snapshots), "strongest": list(_strongest(result))},
    )


def _strongest(result: Any) -> Iterator[dict[str, Any]]:
    for row in result.to_pylist():
        if row["rank"] <= STRONGEST:
            yield {name: row[name] for name in ("behaviour", "rank", "row_id", "part", "influence")}


def show(manifest: Manifest) -> None:
    """Print the strongest rows of each behaviour."""
    rows: Any = manifest.summary["strongest"]
    of: Any = manifest.summary["behaviours"]
    for told in of:
        console.result(f"{told['name']}: {told['with']} replies with it, {told['without']} without")
        columns = ["rank", "row_id", "part", "influence"]
        console.show_rows(
            columns,
            [
                {**row, "influence": f"{row['influence']:.3g}"}
                for row in rows
                if row["behaviour"] == told["name"]
            ],
        )
