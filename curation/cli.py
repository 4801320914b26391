"""The `curate` command. Each command is a few lines that call the `run` of its stage.

Stages are imported inside their command, so `curate --help` answers without loading Arrow, DuckDB or torch.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from curation.review.cli import app as review_app
from schemas.errors import CurateError

app = typer.Typer(
    name="curate",
    help="Curate supervised data for large reasoning models: ingest, annotate, review, build mixes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(review_app, name="review")

CorpusOption = Annotated[
    Path, typer.Option("--corpus", envvar="CURATE_CORPUS", help="The corpus folder.", file_okay=False)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")
]
RecipeArgument = Annotated[
    str, typer.Argument(help="A recipe file, or the name of a shipped one; see `curate recipes`.")
]
DEFAULT_CORPUS = Path("corpus")


@app.command()
def ingest(
    files: Annotated[
        list[str], typer.Argument(help="Files, folders saved by `datasets`, or hub names (hf:NAME).")
    ],
    corpus: CorpusOption = DEFAULT_CORPUS,
    format: Annotated[
        str, typer.Option(help="`auto`, or a format's name; `curate formats` lists them.")
    ] = "auto",
    kind: Annotated[
        str | None, typer.Option(help="What the prompts are for: harmful, benign, math or code.")
    ] = None,
    map: Annotated[
        list[str] | None, typer.Option(help="field=column, once per field, for files of no known format.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Name of the data set; the file's name by default.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Read prompts, traces or annotations into the corpus.

    Bad rows are set aside with file, line and reason (`curate sql "select * from quarantine"`); good rows go on.

    Examples:

        curate ingest star1.json --kind harmful

        curate ingest mine.jsonl --map prompt=question --map response=output
    """
    from curation import ingest as stage

    settings = stage.IngestRecipe.from_options(format=format, kind=kind, map=map or [], source=source)
    _report(stage.run(corpus, files, settings), json)


@app.command()
def formats() -> None:
    """List the file formats that `curate ingest` knows."""
    from curation import console
    from curation.formats import FORMATS

    for name, form in FORMATS.items():
        console.result(f"{name:18} {form.help}")


@app.command()
def annotate(
    corpus: CorpusOption = DEFAULT_CORPUS,
    annotators: Annotated[str, typer.Option(help="Comma-separated names of annotators.")] = "rules",
    json: JsonOption = False,
) -> None:
    """Tag every trace with the risky patterns; only traces an annotator has not seen are read.

    Example: curate annotate --annotators rules
    """
    from curation import annotate as stage

    _report(stage.run(corpus, stage.AnnotateRecipe(annotators=annotators.split(","))), json)


@app.command()
def strategies(
    name: Annotated[
        str | None, typer.Argument(help="Print this one, as a file to start your own from.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the strategies that `curate generate` knows, or print one.

    Example: curate strategies improved > mine.md
    """
    from curation import console
    from curation import strategies as stage

    if name:
        console.result(stage.source(name))
        return
    listed = stage.listed()
    console.json_result(listed) if json else console.show_rows(list(listed[0]), listed)


@app.command()
def generate(
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe file with any of these settings; options come first.")
    ] = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    model: Annotated[
        str | None, typer.Option(help="A model's folder, a hub name, or a server's name for it.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="The commit of a hub model.")] = None,
    engine: Annotated[str | None, typer.Option(help="auto, vllm, transformers, openai, or ray.")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Address of a server, such as http://localhost:8000/v1.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder of the tokenizer of a server's model.")
    ] = None,
    strategies: Annotated[str | None, typer.Option(help="Comma-separated; see `curate strategies`.")] = None,
    strategy_file: Annotated[list[Path] | None, typer.Option(help="A strategy of your own.")] = None,
    samples: Annotated[int | None, typer.Option(help="Traces per prompt and strategy.")] = None,
    think: Annotated[str | None, typer.Option(help="as_is, zero (CoT off), less, or more.")] = None,
    where: Annotated[
        str | None, typer.Option(help="SQL condition over `prompts`, such as \"kind = 'harmful'\".")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many prompts, drawn by the seed.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy; 0.6 by default.")] = None,
    top_p: Annotated[float | None, typer.Option(help="0.95 by default.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="4096 by default.")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be asked and about how many tokens.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Have a model answer the corpus's prompts under distillation strategies; run it again to go on after a stop.

    Examples:

        curate generate --model ./DeepSeek-R1-Distill-Qwen-7B --strategies default,improved --where "kind = 'harmful'"

        curate generate --model gpt-oss --base-url http://localhost:8000/v1 --strategies short,template

        curate generate --strategies nocot
    """
    from curation import console
    from curation import generate as stage
    from curation.recipe import from_options

    settings = from_options(
        stage.GenerateRecipe,
        recipe,
        {
            ("engine", "model"): model,
            ("engine", "revision"): revision,
            ("engine", "kind"): engine,
            ("engine", "server", "base_url"): base_url,
            ("engine", "server", "tokenizer"): tokenizer,
            ("strategies",): strategies.split(",") if strategies else None,
            ("strategy_files",): strategy_file,
            ("samples",): samples,
            ("think",): think,
            ("where",): where,
            ("limit",): limit,
            ("sampling", "temperature"): temperature,
            ("sampling", "top_p"): top_p,
            ("sampling", "max_new_tokens"): max_new_tokens,
            ("sampling", "seed"): seed,
        },
    )
    if dry_run:
        from curation.estimate import estimate

        console.json_result(estimate(corpus, settings))
        return
    manifest = stage.run(corpus, settings)
    _report(manifest, json)
    _fail_if_failed(manifest)


@app.command()
def status(corpus: CorpusOption = DEFAULT_CORPUS, json: JsonOption = False) -> None:
    """Show what is in the corpus: counts per table, strategy, pattern, annotator and quarantine reason."""
    from curation import console
    from curation import status as stage

    found = stage.run(corpus)
    console.json_result(found) if json else stage.show(found)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT statement.")],
    corpus: CorpusOption = DEFAULT_CORPUS,
    json: JsonOption = False,
) -> None:
    """Query the corpus (read-only): prompts, traces, annotations, quarantine, verdicts, candidates.

    Example: curate sql "select pattern, count(*) from verdicts where label group by all"
    """
    from curation import console
    from curation.query import connect, select
    from curation.store import Corpus

    rows = select(connect(Corpus(corpus)), query)
    console.json_result(rows.to_pylist()) if json else console.show_rows(rows.column_names, rows.to_pylist())


@app.command("build-mix")
def build_mix(
    recipe: RecipeArgument,
    out: Annotated[Path, typer.Option(help="The folder of the mix; new, or of an earlier build.")],
    corpus: CorpusOption = DEFAULT_CORPUS,
    json: JsonOption = False,
) -> None:
    """Assemble a training mix from the corpus; the same corpus and recipe give the same bytes.

    A recipe with a `sweep` makes one mix for each point, in a folder of its name below `--out`.

    Examples:

        curate build-mix study-improved --out mixes/improved

        curate build-mix ablation --out mixes/ablation
    """
    from curation import mix as stage

    points = stage.find_points(recipe)
    if len(points) == 1:
        _report(stage.run(*points.values(), corpus, out), json)
        return
    manifests = stage.run_all(points, corpus, out)
    for manifest in manifests:
        _report(manifest, json=False)
    if json:
        from curation import console

        console.json_result([manifest.model_dump(mode="json") for manifest in manifests])


@app.command()
def recipes() -> None:
    """List the shipped mix recipes."""
    from curation import console
    from curation.mix import shipped_recipes

    for name, description in shipped_recipes().items():
        console.result(f"{name:28} {description}")


@app.command()
def why(
    id: Annotated[str, typer.Argument(help="A row_id, trace_id or source_id.")],
    corpus: CorpusOption = DEFAULT_CORPUS,
    mix: Annotated[Path | None, typer.Option(help="Also say what this mix did with it.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Show texts unmasked.")] = False,
    json: JsonOption = False,
) -> None:
    """Say where a row or trace came from, what was judged of it, and why a mix took it or not."""
    from curation import console, lineage

    found = lineage.why(id, corpus, mix, show=show)
    console.json_result(found) if json else lineage.show_why(found)


@app.command()
def diff(
    mix_a: Annotated[Path, typer.Argument(help="A mix folder.")],
    mix_b: Annotated[Path, typer.Argument(help="Another mix folder.")],
    json: JsonOption = False,
) -> None:
    """Compare two mixes: rows added and removed, counts per part and pattern, recipe fields that differ."""
    from curation import console, lineage

    found = lineage.diff(mix_a, mix_b)
    console.json_result(found) if json else lineage.show_diff(found)


def main() -> None:
    """Run the command line; errors a user can act on print without a traceback and exit 1."""
    run_app(app)


def run_app(application: typer.Typer) -> None:
    """Run a command line of this project (`curate`, `sft`) with its error rules."""
    try:
        application()
    except CurateError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def _report(manifest: Any, json: bool) -> None:
    from curation import console

    console.say_counts(manifest.stage, manifest.counts)
    if json:
        console.result(manifest.model_dump_json(indent=2))


def _fail_if_failed(manifest: Any) -> None:
    """A run that left work undone does not exit 0."""
    if failed := manifest.counts.failed:
        listed = "; ".join(f"{reason} ({n})" for reason, n in failed.items())
        raise CurateError(f"not everything was answered: {listed}; run the same command again to go on")


if __name__ == "__main__":
    main()
