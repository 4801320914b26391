"""The commands about mixes: `curate recipes, schema, validate, plan, build-mix, why, diff`. Each is a few lines."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from curation.commands.options import (
    DEFAULT_CORPUS,
    AllOption,
    CorpusOption,
    JsonOption,
    MixArgument,
    MixRecipeArgument,
    PageOption,
    RedactOption,
    ShowOption,
)
from curation.commands.printing import answer
from curation.commands.printing import report as report_counts
from curation.commands.quick import Commands
from schemas.choices import ChatTemplate, ExportFormat, MixSplit, TrainerName

app = Commands()
PANEL = "Build and explain mixes"
RELEASE = "Export and publish"
SUFFIXES = (".json", ".jsonl", ".parquet", ".csv")


@app.command(rich_help_panel=PANEL)
def recipes() -> None:
    """List the shipped mix recipes; those of a sweep are listed below the name that builds all of them.

    Example: curate recipes
    """
    from curation import console
    from curation.mix.sweep import load_points, shipped_files

    for name, path in shipped_files().items():
        console.result(f"{name} (all of these)")
        for point, loaded in load_points(path).items():
            console.result(f"  {point:28} {loaded.recipe.description}")


@app.command(rich_help_panel=PANEL)
def schema() -> None:
    """Print the JSON Schema of mix recipes, for validation in editors.

    Example: curate schema > mix.schema.json, then "# yaml-language-server: $schema=mix.schema.json" on top of a recipe.
    """
    from curation import console
    from curation.mix import planning

    console.json_result(planning.schema())


@app.command(rich_help_panel=PANEL)
def validate(recipe: MixRecipeArgument, corpus: CorpusOption = DEFAULT_CORPUS) -> None:
    """Check a recipe and every point of its sweep; reports all faults at once, each with file and line.

    If there is a corpus, SQL and columns are checked too.

    Example: curate validate my-mix.yaml
    """
    from curation import console
    from curation.corpus.store import MARKER
    from curation.mix import planning
    from curation.mix.sweep import find_points

    points = find_points(recipe)
    there = (corpus / MARKER).is_file()
    planning.validate(points, corpus if there else None)
    unchecked = "" if there else f"; SQL and columns were not checked: {corpus} is not a corpus"
    console.say(f"{recipe}: {len(points)} valid{unchecked}")


@app.command(rich_help_panel=PANEL)
def plan(
    recipe: MixRecipeArgument,
    corpus: CorpusOption = DEFAULT_CORPUS,
    sql: Annotated[
        bool, typer.Option("--sql", help="Also print each part's SQL, which `curate sql` runs.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show what `curate build-mix` would select, without writing anything; exits 1 if the build would fail.

    Example: curate plan my-mix.yaml --sql
    """
    from curation import console
    from curation.mix import planning
    from curation.mix.sweep import find_points

    plans = [planning.plan(loaded, corpus) for loaded in find_points(recipe).values()]
    if json:
        console.json_result(plans)
    else:
        for one in plans:
            planning.show_plan(one, sql)
    if any(one["faults"] for one in plans):
        raise typer.Exit(1)


@app.command("build-mix", rich_help_panel=PANEL)
def build_mix(
    recipe: MixRecipeArgument,
    out: Annotated[Path, typer.Option(help="Output folder: new, or of an earlier build.")],
    corpus: CorpusOption = DEFAULT_CORPUS,
    lock: Annotated[
        Path | None,
        typer.Option(
            help="Lock file, written by the first build; later builds give the same mix or an error that says what changed."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Build a training mix from the corpus; the same corpus and recipe give the same bytes.

    A recipe with a `sweep` builds one mix per point, in folders below `--out`.

    Examples:

        curate build-mix study-improved --out mixes/improved

        curate build-mix ablation --out mixes/ablation

        curate build-mix my-mix.yaml --lock my-mix.lock --out mixes/mine
    """
    from curation import console
    from curation.mix import build as stage
    from curation.mix import lock as locking
    from curation.mix.sweep import find_points

    points = find_points(recipe)
    if len(points) > 1 and lock:
        raise typer.BadParameter(
            "a lock file is for a single mix; name one point of the sweep", param_hint="--lock"
        )
    if len(points) > 1:
        manifests = stage.run_all(corpus, points, out=out)
    else:
        (loaded,) = points.values()
        manifests = [
            locking.run(corpus, loaded, out=out, lock=lock) if lock else stage.run(corpus, loaded, out=out)
        ]
    for manifest in manifests:
        console.say_counts(f"{manifest.stage} {manifest.recipe['name']}", manifest.counts)
    if json:
        console.json_result(manifests if len(points) > 1 else manifests[0])


@app.command("build-pairs", rich_help_panel=PANEL)
def build_pairs(
    recipe: Annotated[str, typer.Argument(help="A YAML recipe, or safe-over-risky or repaired.")],
    out: Annotated[Path, typer.Option(help="Output folder: new, or of an earlier build.", file_okay=False)],
    corpus: CorpusOption = DEFAULT_CORPUS,
    json: JsonOption = False,
) -> None:
    """Build preference pairs (DPO, KTO), prompts (GRPO) and step labels (process rewards) from the corpus.

    Example: curate build-pairs safe-over-risky --out pairs/safe
    """
    from curation.pairs import stage

    report_counts(stage.run(corpus, stage.load(recipe), out=out), json)


@app.command(rich_help_panel=PANEL)
def why(
    id: Annotated[str, typer.Argument(help="A row_id, trace_id or source_id.")],
    corpus: CorpusOption = DEFAULT_CORPUS,
    mix: Annotated[Path | None, typer.Option(help="Also show how this mix used it.")] = None,
    everything: AllOption = False,
    show: ShowOption = False,
    json: JsonOption = False,
) -> None:
    """Show the patterns found in a row or trace with their words, and why a mix includes it or not; --all shows where it came from.

    Example: curate why ROW_ID --mix mixes/improved
    """
    from curation.report import why as stage

    answer(stage.why(id, corpus, mix, show=show), json, partial(stage.show_why, everything=everything))


@app.command(rich_help_panel=PANEL)
def diff(
    mix_a: MixArgument,
    mix_b: Annotated[Path, typer.Argument(help="Another mix folder.")],
    corpus: CorpusOption = DEFAULT_CORPUS,
    json: JsonOption = False,
) -> None:
    """Compare two mixes: every row that was added, removed, moved or relabelled, with the reason.

    Reasons are more specific if the corpus is available.

    Example: curate diff mixes/default mixes/improved
    """
    from curation.corpus.store import MARKER
    from curation.report import diff as stage

    answer(stage.diff(mix_a, mix_b, corpus if (corpus / MARKER).is_file() else None), json, stage.show)


@app.command(rich_help_panel=PANEL)
def report(
    out: PageOption,
    mixes: Annotated[
        list[Path] | None, typer.Argument(help="Mix folders to compare with the corpus.")
    ] = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    show: ShowOption = False,
) -> None:
    """Write one self-contained HTML page: pattern rates, yields, lengths, agreement, mixes, masked examples.

    Example: curate report mixes/improved --out report.html
    """
    from curation import console
    from curation.report import stage

    console.result(str(stage.write_page(corpus, mixes or [], out=out, show=show)))


@app.command(rich_help_panel=RELEASE)
def export(
    mix: MixArgument,
    out: Annotated[
        Path,
        typer.Option(
            help="A .jsonl file, or .json for one array; a new folder with --format hf, axolotl or llama-factory."
        ),
    ],
    format: Annotated[
        Literal[ExportFormat, TrainerName, "hf"],
        typer.Option(
            help="A trainer's format; axolotl and llama-factory are folders with config, hf is a data set folder."
        ),
    ] = "messages",
    template: Annotated[ChatTemplate, typer.Option(help="The target chat template.")] = "think",
    split: Annotated[
        MixSplit | None, typer.Option(help="The split to write; train by default. Folders have them all.")
    ] = None,
    redact: RedactOption = "full",
) -> None:
    """Write a mix in another trainer's format.

    Some templates drop the reasoning, so that the model learns only the answer: name the template you train with.

    Example: curate export mixes/improved --format messages --template qwen3 --out train.jsonl
    Example: curate export mixes/improved --format axolotl --template qwen3 --out exports/axolotl
    """
    from curation import console
    from curation.release import export as stage
    from curation.release import publish, trainers

    if format == "hf" or format == "axolotl" or format == "llama-factory":
        _require_folder(out, format, split)
        if format == "hf":
            console.result(str(publish.stage(mix, out, redact)))
            return
        made = trainers.write(mix, out=out, trainer=format, template=template, redact=redact)
        told = " and ".join(f"{n} rows of {name}" for name, n in made.rows.items())
        console.say(f"export: {told} written to {made.path}; set the model in {format}.yaml")
        return
    done = stage.write(mix, out=out, format=format, template=template, redact=redact, split=split or "train")
    others = "".join(f"; {n} rows of {name} were not: --split {name}" for name, n in done.others.items())
    console.say(f"export: {done.rows} rows of {done.split} written to {done.path}{others}")


def _require_folder(out: Path, format: str, split: str | None) -> None:
    if out.suffix in SUFFIXES:
        raise typer.BadParameter(
            f"{out} names a file, but {format} is a folder; write --out {out.with_suffix('')}, or leave out --format {format}",
            param_hint="--out",
        )
    if split:
        raise typer.BadParameter(f"a folder of --format {format} has every split", param_hint="--split")


@app.command(rich_help_panel=RELEASE)
def push(
    mix: MixArgument,
    repository: Annotated[str, typer.Argument(help="owner/name on the Hugging Face hub.")],
    redact: RedactOption = "full",
    public: Annotated[
        bool, typer.Option("--public", help="Make the data set public; private by default.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Publish a mix on the Hugging Face hub, after confirmation. Log in with `hf auth login`; the token is never shown.

    Example: curate push mixes/improved me/safety-mix --redact masked
    """
    from curation import console
    from curation.release import publish

    def confirm(offer: publish.PublicationPlan) -> bool:
        console.say(offer.describe())
        return yes or typer.confirm("Publish?", default=False, err=True)

    address = publish.publish(mix, repository, tier=redact, private=not public, confirm=confirm)
    if address is None:
        console.say("nothing was sent")
        raise typer.Exit(1)
    console.result(address)
