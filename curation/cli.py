"""The `curate` command. Each command is a few lines that call the `run` of its stage.

Stages are imported inside their command, so `curate --help` answers without loading Arrow, DuckDB or torch.
"""

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from curation.annotate_cli import app as annotate_app
from curation.generate_cli import app as generate_app
from curation.mix_cli import app as mix_app
from curation.review.cli import app as review_app
from curation.training_cli import app as training_app
from schemas.errors import CurateError

app = typer.Typer(
    name="curate",
    help="Curate supervised data for large reasoning models: ingest, annotate, review, build mixes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(annotate_app)
app.add_typer(generate_app)
app.add_typer(mix_app)
app.add_typer(training_app)
app.add_typer(review_app, name="review")

CorpusOption = Annotated[
    Path, typer.Option("--corpus", envvar="CURATE_CORPUS", help="The corpus folder.", file_okay=False)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")
]
DEFAULT_CORPUS = Path("corpus")


@app.command()
def ingest(
    files: Annotated[
        list[str] | None, typer.Argument(help="Files, folders saved by `datasets`, or hub names (hf:NAME).")
    ] = None,
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
    set: Annotated[
        str | None,
        typer.Option(help="A published evaluation set, such as harmbench; `curate formats` lists them."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Shuffles the options of multiple-choice questions.")] = 0,
    json: JsonOption = False,
) -> None:
    """Read prompts, traces or annotations into the corpus.

    Bad rows are set aside with file, line and reason (`curate sql "select * from quarantine"`); good rows go on.

    Examples:

        curate ingest star1.json --kind harmful

        curate ingest mine.jsonl --map prompt=question --map response=output

        curate ingest --set gpqa-diamond gpqa_diamond.csv --corpus eval
    """
    from curation import ingest as stage

    settings = stage.IngestRecipe.from_options(format, kind, map or [], source, set, seed)
    if not files and not set:
        raise typer.BadParameter(
            "nothing to read; name files, or an evaluation set with --set", param_hint="FILES"
        )
    _report(stage.run(corpus, files or [], settings), json)


@app.command()
def formats() -> None:
    """List the file formats that `curate ingest` knows."""
    from curation import console
    from curation.evaluation_sets import known
    from curation.formats import FORMATS

    for name, form in FORMATS.items():
        console.result(f"{name:22} {form.help}")
    for name, published in known().items():
        console.result(f"--set {name:22} {published.help}")


@app.command()
def dedup(
    corpus: CorpusOption = DEFAULT_CORPUS,
    methods: Annotated[str, typer.Option(help="Comma-separated: exact, near, semantic.")] = "exact,near",
    threshold: Annotated[float, typer.Option(help="Share of word runs from which texts are near.")] = 0.7,
    cosine: Annotated[float, typer.Option(help="Closeness of vectors from which texts are alike.")] = 0.9,
    ray_workers: Annotated[
        int | None, typer.Option(help="Read and sketch on a Ray cluster, so many parts at once.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Cluster prompts, their bare queries and responses that are alike; nothing is deleted.

    Recipes filter on the columns `duplicate`, `prompt_duplicate` and `prompt_family` of candidates.

    Example: curate dedup --methods exact,near
    """
    from curation import dedup as stage
    from curation.recipe import from_options

    options: dict[tuple[str, ...], Any] = {
        ("methods",): methods.split(","),
        ("threshold",): threshold,
        ("cosine",): cosine,
        ("ray_workers",): ray_workers,
    }
    _report(stage.run(corpus, from_options(stage.DedupRecipe, None, options)), json)


@app.command()
def decontaminate(
    registry: Annotated[
        Path | None,
        typer.Argument(
            help="A YAML file of evaluation sets; the shipped one lists the usual sets on the hub."
        ),
    ] = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    against: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FILE:COLUMN, an evaluation set; may be given several times."),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Comma-separated names of the registry.")] = None,
    methods: Annotated[
        str, typer.Option(help="Comma-separated: ngram13, ngram8, near, semantic.")
    ] = "ngram13,ngram8,near",
    share: Annotated[
        float, typer.Option(help="Part of an evaluation prompt that runs of 8 must cover.")
    ] = 0.7,
    near: Annotated[float, typer.Option(help="Part of its words that must follow in order.")] = 0.8,
    cosine: Annotated[float, typer.Option(help="Closeness of vectors from which prompts are alike.")] = 0.9,
    json: JsonOption = False,
) -> None:
    """Find evaluation prompts in prompts, reasoning and answers, with the words that show it; mixes refuse them.

    Examples:

        curate decontaminate --against math-500=math500.jsonl:problem --against xstest=xstest.jsonl:prompt

        curate decontaminate my-benchmarks.yaml --methods ngram13,near,semantic
    """
    from curation import console
    from curation import decontaminate as stage
    from curation.decontaminate.registry import load_registry, read
    from curation.recipe import from_options

    options: dict[tuple[str, ...], Any] = {
        ("methods",): methods.split(","),
        ("share",): share,
        ("near",): near,
        ("cosine",): cosine,
    }
    recipe = from_options(stage.DecontaminateRecipe, None, options)
    names = only.split(",") if only else []
    manifest = stage.run(corpus, read(load_registry(registry, against or [], names)), recipe)
    if json:
        console.json_result(manifest.model_dump())
    else:
        stage.show(manifest)


@app.command()
def compact(
    corpus: CorpusOption = DEFAULT_CORPUS,
    target_mb: Annotated[int, typer.Option(help="Size that packed part files may have.", min=1)] = 256,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the files that were replaced before; packs nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Pack the corpus's many small part files into a few large ones; rows, ids, mixes and locks stay valid.

    Replaced files are kept for commands that opened them before. When none is running any more, delete them with --prune.

    Examples:

        curate compact

        curate compact --prune
    """
    from curation import compact as stage
    from curation import console

    manifest = stage.run(corpus, stage.CompactRecipe(target_mb=target_mb, prune=prune))
    if json:
        console.json_result(manifest.model_dump())
    else:
        stage.show(manifest)


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
    consensus: Annotated[
        str, typer.Option(help="How verdicts are made: ranked, majority, weighted or dawid_skene.")
    ] = "ranked",
    json: JsonOption = False,
) -> None:
    """Query the corpus (read-only): prompts, traces, annotations, quarantine, verdicts, candidates.

    Example: curate sql "select pattern, count(*) from verdicts where label group by all"
    """
    from curation import console
    from curation.query import connect, policy, select
    from curation.store import Corpus

    rows = select(connect(Corpus(corpus), policy=policy(consensus)), query)
    console.json_result(rows.to_pylist()) if json else console.show_rows(rows.column_names, rows.to_pylist())


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
    except Exception as error:
        if not (named := _named(error)):
            raise
        print(f"error: {named}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


def _named(error: Exception) -> object:
    """What to say of an error that no stage could foresee: data that vanished, memory or disk that ran out."""
    if isinstance(error, FileNotFoundError):
        return _vanished(error)
    if "duckdb" in sys.modules:
        from curation.query import trouble

        return trouble(error)
    return None


def _vanished(error: FileNotFoundError) -> str | None:
    """What to say of a missing file of a corpus, or of a place that the command line names; of any other it is a bug."""
    from curation.store import MARKER, gone, missing_file, within

    path = missing_file(error)
    named = [Path(part) for word in sys.argv[1:] for part in (word, *re.split("[=:]", word)) if part]
    of_a_corpus = any((folder / MARKER).is_file() for folder in path.absolute().parents)
    return gone(path) if of_a_corpus or within(path, named) else None


def _report(manifest: Any, json: bool) -> None:
    from curation import console

    console.say_counts(manifest.stage, manifest.counts)
    if json:
        console.result(manifest.model_dump_json(indent=2))


if __name__ == "__main__":
    main()
