"""`curate codebook init, check, show, add, schema`: each command is a few lines that call its stage."""

from pathlib import Path
from typing import Annotated

import typer

from curation.commands.options import DEFAULT_CORPUS, CodebookArgument, CodebookFile, CorpusOption, JsonOption
from curation.commands.printing import answer
from curation.commands.quick import Commands

app = Commands(
    help="What can be judged: files of a lab's own patterns, principles and policies.", no_args_is_help=True
)
PANEL = "Codebooks"


@app.command(rich_help_panel=PANEL)
def init(
    path: CodebookFile,
    like: Annotated[str, typer.Option(help="The shipped codebook to start from.")] = "policy",
    policy: Annotated[
        Path | None, typer.Option(help="A policy's text; its numbered lines become rules.", dir_okay=False)
    ] = None,
) -> None:
    """Write a codebook to begin with: a copy of a shipped one, or one made from a policy.

    Examples:

        curate codebook init ours.yaml --like principles

        curate codebook init policy.yaml --policy policy.md
    """
    from curation import console
    from curation.codebook import stage

    console.say(f"codebook: {stage.start(path, like, policy)}; check it with: curate codebook check {path}")


@app.command(rich_help_panel=PANEL)
def check(path: CodebookFile, json: JsonOption = False) -> None:
    """Check a codebook's file; says every fault with its line.

    Example: curate codebook check ours.yaml
    """
    from curation.codebook import stage

    answer(stage.described(stage.load(path)), json, stage.show)


@app.command(rich_help_panel=PANEL)
def show(name: CodebookArgument, corpus: CorpusOption = DEFAULT_CORPUS, json: JsonOption = False) -> None:
    """Show the entries of a codebook.

    Example: curate codebook show principles
    """
    from curation.codebook import stage

    answer(stage.described(stage.find_in(name, corpus)), json, stage.show)


@app.command(rich_help_panel=PANEL)
def add(name: CodebookArgument, corpus: CorpusOption = DEFAULT_CORPUS) -> None:
    """Let a corpus know a codebook: its entries become columns, and can be ingested, judged, mixed and scored.

    Example: curate codebook add ours.yaml
    """
    from curation import console
    from curation.codebook import stage
    from curation.corpus.store import Store

    codebook = stage.find(name)
    new = stage.add(Store(corpus), codebook)
    console.say(
        f"codebook {codebook.name} version {codebook.version}: {len(codebook.entries)} entries "
        f"{'added' if new else 'are in the corpus already'}"
    )


@app.command(rich_help_panel=PANEL)
def schema() -> None:
    """Print the JSON Schema of codebooks, for editors that complete and check YAML.

    Example: curate codebook schema > codebook.schema.json
    """
    from curation import console
    from schemas.codebooks import Codebook

    console.json_result(Codebook.file_schema())
