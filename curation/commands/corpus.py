"""`curate compact, status, sql`: each command is a few lines that call its stage."""

from typing import Annotated

import typer

from curation.commands.options import DEFAULT_CORPUS, CorpusOption, JsonOption
from curation.commands.printing import answer, report
from schemas.choices import Policy

app = typer.Typer()
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
