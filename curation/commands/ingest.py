"""`curate ingest, formats`: each command is a few lines that call its stage."""

from collections.abc import Collection
from typing import Annotated

import typer

from curation.commands.options import DEFAULT_CORPUS, CorpusOption, JsonOption, among
from curation.commands.printing import report
from schemas.choices import PromptKind

app = typer.Typer()
PANEL = "Read"


def _format_names() -> Collection[str]:
    from curation.ingest.formats import FORMATS

    return ["auto", *FORMATS]


def _set_names() -> Collection[str]:
    from curation.ingest.evaluation_sets import known

    return known()


@app.command(rich_help_panel=PANEL)
def ingest(
    files: Annotated[
        list[str] | None, typer.Argument(help="Files, folders saved by `datasets`, or hub names (hf:NAME).")
    ] = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    format: Annotated[
        str,
        typer.Option(
            help="`auto`, or a format's name; `curate formats` lists them.", callback=among(_format_names)
        ),
    ] = "auto",
    kind: Annotated[PromptKind | None, typer.Option(help="What the prompts are for.")] = None,
    map: Annotated[
        list[str] | None, typer.Option(help="field=column for files of an unknown format; repeatable.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Name of the data set; by default the file's name.")
    ] = None,
    set: Annotated[
        str | None,
        typer.Option(
            help="A published evaluation set, such as harmbench; `curate formats` lists them.",
            callback=among(_set_names),
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed for shuffling the options of multiple-choice questions.")
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Read prompts, traces or annotations into the corpus.

    Invalid rows are quarantined with file, line and reason (`curate sql "select * from quarantine"`).

    Examples:

        curate ingest star1.json --kind harmful

        curate ingest mine.jsonl --map prompt=question --map response=output

        curate ingest --set gpqa-diamond gpqa_diamond.csv --corpus eval
    """
    from curation.ingest import stage

    settings = stage.IngestRecipe.from_options(format, kind, map or [], source, set, seed)
    if not files and not set:
        raise typer.BadParameter("no input; name files, or an evaluation set with --set", param_hint="FILES")
    report(stage.run(corpus, files or [], settings), json)


@app.command(rich_help_panel=PANEL)
def formats() -> None:
    """List the file formats and evaluation sets that `curate ingest` knows.

    Example: curate formats
    """
    from curation import console
    from curation.ingest.evaluation_sets import known
    from curation.ingest.formats import FORMATS

    for name, form in FORMATS.items():
        console.result(f"{name:22} {form.help}")
    for name, published in known().items():
        console.result(f"--set {name:22} {published.help}")
