"""The commands about mixes: `curate recipes, schema, validate, plan, build-mix, why, diff`. Each is a few lines."""

from pathlib import Path
from typing import Annotated

import typer

from curation.commands.options import DEFAULT_CORPUS, CorpusOption, JsonOption

app = typer.Typer()

RecipeArgument = Annotated[
    str, typer.Argument(help="A recipe file, or the name of a shipped one; see `curate recipes`.")
]
RedactOption = Annotated[
    str, typer.Option(help="full, masked (harmful prompts and quotes from them), or ids (no text).")
]


@app.command()
def recipes() -> None:
    """List the shipped mix recipes; those of a sweep are listed below the name that builds all of them."""
    from curation import console
    from curation.mix.sweep import load_points, shipped_files

    for name, path in shipped_files().items():
        console.result(f"{name} (all of these)")
        for point, loaded in load_points(path).items():
            console.result(f"  {point:28} {loaded.recipe.description}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of mix recipes, for validation in editors.

    Example: curate schema > mix.schema.json, then "# yaml-language-server: $schema=mix.schema.json" on top of a recipe.
    """
    from curation import console
    from curation.mix import planning

    console.json_result(planning.schema())


@app.command()
def validate(recipe: RecipeArgument, corpus: CorpusOption = DEFAULT_CORPUS) -> None:
    """Check a recipe and every point of its sweep; reports all faults at once, each with file and line.

    If there is a corpus, SQL and columns are checked too.
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


@app.command()
def plan(
    recipe: RecipeArgument,
    corpus: CorpusOption = DEFAULT_CORPUS,
    sql: Annotated[
        bool, typer.Option("--sql", help="Also print the SQL that selects and orders the traces.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show what `curate build-mix` would select, without writing anything; exits 1 if the build would fail."""
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


@app.command("build-mix")
def build_mix(
    recipe: RecipeArgument,
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
        manifests = stage.run_all(points, corpus, out)
    else:
        (loaded,) = points.values()
        manifests = [locking.run(loaded, corpus, out, lock) if lock else stage.run(loaded, corpus, out)]
    for manifest in manifests:
        console.say_counts(f"{manifest.stage} {manifest.recipe['name']}", manifest.counts)
    if json:
        documents = [manifest.model_dump(mode="json") for manifest in manifests]
        console.json_result(documents if len(points) > 1 else documents[0])


@app.command()
def why(
    id: Annotated[str, typer.Argument(help="A row_id, trace_id or source_id.")],
    corpus: CorpusOption = DEFAULT_CORPUS,
    mix: Annotated[Path | None, typer.Option(help="Also show how this mix used it.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Show texts unmasked.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the source of a row or trace, its annotations, and why a mix includes it or not."""
    from curation import console
    from curation.report import why as stage

    document = stage.why(id, corpus, mix, show=show)
    console.json_result(document) if json else stage.show_why(document)


@app.command()
def diff(
    mix_a: Annotated[Path, typer.Argument(help="A mix folder.")],
    mix_b: Annotated[Path, typer.Argument(help="Another mix folder.")],
    corpus: CorpusOption = DEFAULT_CORPUS,
    json: JsonOption = False,
) -> None:
    """Compare two mixes: every row that was added, removed, moved or relabelled, with the reason.

    Reasons are more specific if the corpus is available.
    """
    from curation import console
    from curation.corpus.store import MARKER
    from curation.report import diff as stage

    document = stage.diff(mix_a, mix_b, corpus if (corpus / MARKER).is_file() else None)
    console.json_result(document) if json else stage.show(document)


@app.command()
def report(
    out: Annotated[Path, typer.Option(help="The HTML file.", dir_okay=False)],
    mixes: Annotated[
        list[Path] | None, typer.Argument(help="Mix folders to compare with the corpus.")
    ] = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    show: Annotated[bool, typer.Option("--show", help="Show texts unmasked.")] = False,
) -> None:
    """Write one self-contained HTML page: pattern rates, yields, lengths, agreement, mixes, masked examples.

    Example: curate report mixes/improved --out report.html
    """
    from curation import console
    from curation.report import stage

    console.result(str(stage.run(out, corpus, mixes or [], show)))


@app.command()
def export(
    mix: Annotated[Path, typer.Argument(help="A mix folder.")],
    out: Annotated[
        Path, typer.Option(help="A .jsonl file, or .json for one array; with --format hf a folder.")
    ],
    format: Annotated[
        str, typer.Option(help="messages, prompt-completion, sharegpt, alpaca, study, or hf.")
    ] = "messages",
    template: Annotated[
        str, typer.Option(help="Chat template of the trainer: think, deepseek-r1, qwen3 or gpt-oss.")
    ] = "think",
    redact: RedactOption = "full",
) -> None:
    """Write a mix in another trainer's format.

    Some templates drop the reasoning, so that the model learns only the answer: name the template you train with.

    Example: curate export mixes/improved --format messages --template qwen3 --out train.jsonl
    """
    from curation import console
    from curation.release import export as stage
    from curation.release import publish
    from curation.release.redaction import tier

    if format == "hf":
        console.result(str(publish.stage(mix, out, tier(redact))))
        return
    done = stage.run(mix, out, format, template, tier(redact))
    console.say(f"export: {done.rows} rows written to {done.path}")


@app.command()
def push(
    mix: Annotated[Path, typer.Argument(help="A mix folder.")],
    repository: Annotated[str, typer.Argument(help="owner/name on the Hugging Face hub.")],
    redact: RedactOption = "full",
    public: Annotated[
        bool, typer.Option("--public", help="Make the data set public; private by default.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Publish a mix on the Hugging Face hub, after confirmation. Log in with `hf auth login`; the token is never shown."""
    from curation import console
    from curation.release import publish
    from curation.release.redaction import tier

    def confirm(offer: publish.PublicationPlan) -> bool:
        console.say(offer.describe())
        return yes or typer.confirm("Publish?", default=False, err=True)

    address = publish.run(mix, repository, tier(redact), not public, confirm)
    if address is None:
        console.say("nothing was sent")
        raise typer.Exit(1)
    console.result(address)
