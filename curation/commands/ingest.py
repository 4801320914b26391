"""`curate ingest, formats`: each command is a few lines that call its stage."""

from collections.abc import Collection
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curation.commands.options import DEFAULT_CORPUS, CorpusOption, JsonOption, among
from curation.commands.printing import report
from curation.commands.quick import Commands
from schemas.choices import PromptKind

if TYPE_CHECKING:
    from schemas.manifest import Manifest

app = Commands()
PANEL = "Read"
SHOWN = 40
"""Characters of a value that differs."""
PLAIN = ": a trace needs its reasoning, in the response's think block or a column of its own (--map reasoning=COLUMN --map answer=COLUMN)"
"""What to say of responses without reasoning."""
DIFFERENCES = 10
"""Changes that are listed; further ones are counted."""


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
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="YAML with format, map, constants and filters; options win over it.", dir_okay=False
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="`auto`, or a format's name; `curate formats` lists them.", callback=among(_format_names)
        ),
    ] = None,
    kind: Annotated[PromptKind | None, typer.Option(help="What the prompts are for.")] = None,
    map: Annotated[
        list[str] | None, typer.Option(help="field=column for files of an unknown format; repeatable.")
    ] = None,
    set_field: Annotated[
        list[str] | None,
        typer.Option("--set-field", help="field=value for every row, such as strategy=improved; repeatable."),
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
        int | None, typer.Option(help="Seed for shuffling the options of multiple-choice questions.")
    ] = None,
    amend: Annotated[
        bool,
        typer.Option("--amend", help="Change rows that are already there where this ingest says otherwise."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Read prompts, traces or annotations into the corpus.

    Invalid rows are quarantined with file, line and reason (`curate sql "select * from quarantine"`).

    Examples:

        curate ingest star1.json --kind harmful

        curate ingest mine.jsonl --map prompt=question --map response=output

        curate ingest star1.json --set-field strategy=default --set-field model=deepseek-r1 --amend

        curate ingest --set gpqa-diamond gpqa_diamond.csv --corpus eval
    """
    from curation.ingest import stage
    from curation.ingest.recipe import IngestRecipe

    settings = IngestRecipe.from_options(
        format, kind, map or [], source, set, seed, set_field or [], amend, recipe
    )
    if not files and not settings.set:
        raise typer.BadParameter("no input; name files, or an evaluation set with --set", param_hint="FILES")
    manifest = stage.run(corpus, files or [], settings)
    tell(manifest, join(files or []) or f"--set {settings.set}")
    report(manifest, json)


def tell(manifest: "Manifest", files: str) -> None:
    """Say on stderr what is new, what differs from the corpus, and what a missing kind means."""
    from curation import console

    told: dict[str, Any] = manifest.summary
    if told["new_rows"] or told["already_there"]:
        there = f", {told['already_there']} already there" if told["already_there"] else ""
        joined = f", {told['joined']} of them in one more set now" if told["joined"] else ""
        console.say(f"ingest: {told['new_rows']} new{there}{joined}")
    if manifest.counts.quarantined and not manifest.counts.kept:
        console.say(
            f"ingest: nothing was kept{PLAIN if 'no_think' in manifest.counts.quarantined else ''}; why, row by row: "
            'curate sql "select source_line, reason, detail from quarantine"'
        )
    for name, one in told.get("judged", {}).items():
        _tell_judged(name, one)
    done = "changed" if told["amended"] else "left as it is; --amend changes it"
    for one in told["differences"][:DIFFERENCES]:
        change = f"{_shown(one['previous'])} -> {_shown(one['value'])}"
        console.say(f"ingest: {one['rows']} already there; {one['field']} differs ({change}): {done}")
    if further := told["differences"][DIFFERENCES:]:
        rows = sum(one["rows"] for one in further)
        console.say(f"ingest: {len(further)} further changes of {rows} fields: {done}; --json lists them")
    if without := told["without_kind"]:
        console.say(
            f"ingest: warning: {without} new rows have no kind: recipes that ask for kind = 'harmful' (or benign, math, code) take "
            f"none of them, and their labels are read as if they were harmful; say it with: "
            f"curate ingest {files} --kind KIND --amend"
        )


def _tell_judged(name: str, told: dict[str, Any]) -> None:
    """Say once what a file judged, and what of it could not be placed."""
    from curation import console

    of = f" of {', '.join(told['codebooks'])}" if told["codebooks"] else ""
    console.say(f"ingest: {name}: {told['new_annotations']} new annotations{of} by {told['annotator']}")
    if told["without_offsets"]:
        console.say(f"ingest: {name}: {told['without_offsets']} rows: {told['note']}")
    if told["unmapped"]:
        terms = ", ".join(f"{term} ({rows})" for term, rows in told["unmapped"].items())
        console.say(
            f"ingest: {name}: no codebook maps these terms (rows): {terms}; they stay in extra; add them to `maps` of a codebook"
        )


def _shown(value: str | None) -> str:
    return "none" if value is None else value if len(value) <= SHOWN else f"{value[:SHOWN]}..."


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
