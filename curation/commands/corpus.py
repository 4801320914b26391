"""`curate compact, status, sql, check, forget, show, view`: each command is a few lines that call its stage."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from curation.commands.options import (
    DEFAULT_CORPUS,
    AllOption,
    CorpusOption,
    JsonOption,
    PortOption,
    ShowOption,
)
from curation.commands.printing import answer, report
from curation.commands.quick import Commands
from schemas.choices import Policy

app = Commands()
PANEL = "Inspect and compact a corpus"


@app.command(rich_help_panel=PANEL)
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
    from curation.corpus import compact as stage

    report(stage.run(corpus, stage.CompactRecipe(target_mb=target_mb, prune=prune)), json, stage.show)


@app.command(rich_help_panel=PANEL)
def status(corpus: CorpusOption = DEFAULT_CORPUS, json: JsonOption = False) -> None:
    """Show what is in the corpus: counts per table, strategy, pattern, annotator and quarantine reason.

    Example: curate status --corpus corpus
    """
    from curation.corpus import status as stage

    answer(stage.read(corpus), json, stage.show)


@app.command(rich_help_panel=PANEL)
def check(
    folder: Annotated[Path, typer.Argument(help="A corpus or a mix folder.")] = DEFAULT_CORPUS,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set damaged files aside, in damaged/; deletes nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check that a corpus or a mix is whole: every value of every file. Exits 1 if something is wrong.

    Prints a line for each fault: truncated or foreign files, other columns, keys that occur twice, rows that belong to nothing,
    hashes and totals that differ from the manifest's.

    Examples:

        curate check corpus

        curate check corpus --repair
    """
    from curation.integrity import check as checking
    from curation.integrity import repair as mending

    if repair:
        report(mending.run(folder), json, mending.show)
        return
    checked = checking.read(folder)
    answer(checked, json, checking.show)
    if checked.damage:
        raise typer.Exit(1)


@app.command(rich_help_panel=PANEL)
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT statement.")],
    corpus: CorpusOption = DEFAULT_CORPUS,
    consensus: Annotated[Policy, typer.Option(help="How verdicts are made.")] = "ranked",
    json: JsonOption = False,
) -> None:
    """Query the corpus (read-only): prompts, traces, annotations, quarantine, verdicts, candidates.

    Example: curate sql "select pattern, count(*) from verdicts where label group by all"
    """
    from curation import console
    from curation.corpus.query import connect
    from curation.corpus.store import Store
    from curation.corpus.untrusted import select_untrusted

    rows = select_untrusted(connect(Store(corpus), policy=consensus), query)
    answer(rows.to_pylist(), json, lambda shown: console.show_rows(rows.column_names, shown))


@app.command(rich_help_panel=PANEL)
def forget(
    corpus: CorpusOption = DEFAULT_CORPUS,
    annotator: Annotated[
        str | None,
        typer.Option(
            help="Remove the verdicts of this annotator; human:NAME also removes that person's reviews."
        ),
    ] = None,
    trace: Annotated[
        list[str] | None,
        typer.Option(help="Remove the trace with this id and all that hangs on it; repeatable."),
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="Remove the prompt with this id and its traces; repeatable.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    look_in: Annotated[
        list[Path] | None,
        typer.Option(help="Where mixes and exports are looked for; the folder around the corpus by default."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Remove rows from the corpus for good: an annotator's, or a trace or prompt by its id, such as for a privacy request.

    Keeps a record of ids, counts, time and reason in forgotten/, without any text, and names the mixes and exports that still hold
    the rows.

    Examples:

        curate forget --annotator rules@1

        curate forget --prompt 5f0c --reason "request of 3 May"
    """
    from curation.integrity import forget as stage
    from curation.recipe import from_arguments

    given = {"annotator": annotator, "traces": trace, "prompts": prompt, "reason": reason or None}
    recipe = from_arguments(stage.ForgetRecipe, None, given)
    report(stage.run(corpus, recipe, look_in=look_in or ()), json, stage.show)


@app.command(rich_help_panel=PANEL)
def show(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of traces, or their beginnings.")
    ] = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    sample: Annotated[int, typer.Option(help="Without an id: so many traces drawn by the seed.", min=1)] = 3,
    where: Annotated[
        str, typer.Option(help="Without an id: SQL condition over `candidates` that they meet.")
    ] = "true",
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    everything: AllOption = False,
    show: ShowOption = False,
    json: JsonOption = False,
) -> None:
    """Read traces in the terminal: the patterns found with their words, then prompt, reasoning and answer, masked.

    Examples:

        curate show 5f0c9a

        curate show --sample 5 --where "weak_vacillation and strategy = 'improved'"
    """
    from curation.report import show as stage

    drawn = stage.DrawnTraces(where=where, sample=sample, seed=seed)
    answer(
        stage.read(corpus, ids or drawn, show=show), json, partial(stage.print_traces, everything=everything)
    )


@app.command(rich_help_panel=PANEL)
def view(
    mixes: Annotated[
        list[Path] | None, typer.Argument(help="Mix folders: the page says which of them took a trace.")
    ] = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    name: Annotated[
        str | None, typer.Option("--name", help="Save labels as human:NAME; your login name by default.")
    ] = None,
    port: PortOption = 8765,
    index: Annotated[
        Path | None,
        typer.Option(help="Folder of the search index; CORPUS/.index/view by default.", file_okay=False),
    ] = None,
) -> None:
    """Look at traces on a local web page: search, facets, evidence, and labels saved as annotations.

    Texts are masked until you ask for them. Only this machine can open the page, with the address that is printed.

    Example: curate view mixes/mine --corpus corpus
    """
    from curation.view.serving import reviewer, serve

    serve(corpus, mixes or [], reviewer=reviewer(name), port=port, index=index)
