"""`curate dedup, decontaminate`: each command is a few lines that call its stage."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from curation.commands.options import DEFAULT_CORPUS, CorpusOption, JsonOption, among, listed
from curation.commands.printing import report
from curation.commands.quick import Commands
from schemas.choices import DedupMethod, OverlapMethod

app = Commands()
PANEL = "Find duplicates and benchmark questions"


def _dedup_methods() -> Collection[str]:
    return get_args(DedupMethod)


def _overlap_methods() -> Collection[str]:
    return get_args(OverlapMethod)


@app.command(rich_help_panel=PANEL)
def dedup(
    corpus: CorpusOption = DEFAULT_CORPUS,
    methods: Annotated[
        str, typer.Option(help="Comma-separated: exact, near, semantic.", callback=among(_dedup_methods))
    ] = "exact,near",
    threshold: Annotated[float, typer.Option(help="Minimum Jaccard similarity of word n-grams.")] = 0.7,
    cosine: Annotated[float, typer.Option(help="Minimum cosine similarity of sentence vectors.")] = 0.9,
    ray_workers: Annotated[
        int | None, typer.Option(help="Number of Ray workers that read and sketch parts.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find duplicate prompts, raw queries and responses; nothing is deleted.

    Recipes filter on the columns `duplicate`, `prompt_duplicate` and `prompt_family` of candidates.

    Example: curate dedup --methods exact,near
    """
    from curation.overlap.dedup import stage
    from curation.recipe import from_options

    options: dict[tuple[str, ...], Any] = {
        ("methods",): listed(methods),
        ("threshold",): threshold,
        ("cosine",): cosine,
        ("ray_workers",): ray_workers,
    }
    report(stage.run(corpus, from_options(stage.DedupRecipe, None, options)), json)


@app.command(rich_help_panel=PANEL)
def decontaminate(
    registry: Annotated[
        Path | None,
        typer.Argument(help="A YAML file of evaluation sets; by default the shipped list of hub data sets."),
    ] = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    against: Annotated[
        list[str] | None,
        typer.Option(help="An evaluation set as NAME=FILE:COLUMN; repeatable."),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Comma-separated names from the YAML file.")] = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Comma-separated: ngram13, ngram8, near, semantic.", callback=among(_overlap_methods)
        ),
    ] = "ngram13,ngram8,near",
    share: Annotated[
        float, typer.Option(help="Minimum share of an evaluation prompt covered by shared 8-grams.")
    ] = 0.7,
    near: Annotated[float, typer.Option(help="Minimum share of its words in order.")] = 0.8,
    cosine: Annotated[float, typer.Option(help="Minimum cosine similarity of sentence vectors.")] = 0.9,
    json: JsonOption = False,
) -> None:
    """Find evaluation prompts in prompts, reasoning and answers, with the shared words; mixes exclude these traces.

    Examples:

        curate decontaminate --against math-500=math500.jsonl:problem --against xstest=xstest.jsonl:prompt

        curate decontaminate my-benchmarks.yaml --methods ngram13,near,semantic
    """
    from curation.ingest.benchmarks import load_registry, read
    from curation.overlap.decontaminate import stage
    from curation.recipe import from_options

    options: dict[tuple[str, ...], Any] = {
        ("methods",): listed(methods),
        ("share",): share,
        ("near",): near,
        ("cosine",): cosine,
    }
    recipe = from_options(stage.DecontaminateRecipe, None, options)
    benchmarks = read(load_registry(registry, against or [], listed(only) or []))
    report(stage.run(corpus, benchmarks, recipe), json, stage.show)
