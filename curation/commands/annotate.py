"""`curate annotate, agree, calibrate`: each command is a few lines that call its stage."""

from pathlib import Path
from typing import Annotated, Any

import typer

from curation.commands.options import (
    DEFAULT_CORPUS,
    CorpusOption,
    EngineOption,
    JsonOption,
    LabellersOption,
    ModelOption,
    PatternsOption,
    RecipeArgument,
    ReplicasOption,
    RevisionOption,
    TokenizerOption,
    UrlOption,
    check_annotators,
    listed,
)
from curation.commands.printing import answer, report

app = typer.Typer()
PANEL = "Judge"


@app.command(rich_help_panel=PANEL)
def annotate(
    recipe: RecipeArgument = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    annotators: Annotated[
        str | None,
        typer.Option(
            "--annotators",
            "--annotator",
            callback=check_annotators,
            help="Comma-separated: rules (the default), embedding, ensemble, judge, guard:FAMILY, a plug-in's name, or module:function.",
        ),
    ] = None,
    model: ModelOption = None,
    revision: RevisionOption = None,
    engine: EngineOption = None,
    base_url: UrlOption = None,
    tokenizer: TokenizerOption = None,
    replicas: ReplicasOption = None,
    guard_prompt: Annotated[
        Path | None, typer.Option(help="File with the guard's published prompt; see docs/annotators.md.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Replies of the judge per trace; the majority counts (1).")
    ] = None,
    price_in: Annotated[float | None, typer.Option(help="Price per million prompt tokens.")] = None,
    price_out: Annotated[float | None, typer.Option(help="Price per million generated tokens.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate requests, tokens and cost; calls no model.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Label every trace for the risky patterns; each annotator skips traces it has already labelled.

    Examples:

        curate annotate --annotators rules

        curate annotate --annotators judge:gpt-oss --model gpt-oss-120b --base-url http://localhost:8000/v1 --dry-run

        curate annotate --annotators guard:llama-guard.answer --model ./Llama-Guard-3-8B

        curate annotate --annotator mine:annotator

        curate annotate --annotators rules --engine ray --replicas 16
    """
    from curation import console
    from curation.annotate import stage
    from curation.recipe import from_options

    names = listed(annotators) or (None if recipe else ["rules"])
    # annotators without a model, spread over the cluster's workers
    on_ray = engine == "ray" and model is None
    options: dict[tuple[str, ...], Any] = {
        ("annotators",): names,
        ("ray_workers",): (replicas or 2) if on_ray else None,
        ("engine", "model"): model,
        ("engine", "revision"): revision,
        ("engine", "kind"): None if on_ray else engine,
        ("engine", "replicas"): None if on_ray else replicas,
        ("engine", "server", "base_url"): base_url,
        ("engine", "server", "tokenizer"): tokenizer,
        ("guard_prompt",): guard_prompt,
        ("samples",): samples,
        ("price_in",): price_in,
        ("price_out",): price_out,
    }
    settings = from_options(stage.AnnotateRecipe, recipe, options)
    if dry_run:
        console.json_result(stage.estimates(corpus, settings))
        return
    report(stage.run(corpus, settings), json)


@app.command(rich_help_panel=PANEL)
def agree(
    corpus: CorpusOption = DEFAULT_CORPUS,
    annotators: LabellersOption = None,
    patterns: PatternsOption = None,
    json: JsonOption = False,
) -> None:
    """Show inter-annotator agreement, including people: alpha, Fleiss' and Cohen's kappa per pattern, with 95 % intervals.

    Examples:

        curate agree

        curate agree --annotators people,rules,judge:gpt-oss --json
    """
    from curation.annotate import agree as stage
    from curation.recipe import from_options

    given: dict[tuple[str, ...], Any] = {
        ("annotators",): listed(annotators),
        ("patterns",): listed(patterns),
    }
    answer(stage.read(corpus, from_options(stage.AgreeRecipe, None, given)), json, stage.show)


@app.command(rich_help_panel=PANEL)
def calibrate(
    corpus: CorpusOption = DEFAULT_CORPUS,
    precision: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Minimum precision; by default the best macro-F1.")
    ] = None,
    annotators: LabellersOption = None,
    patterns: PatternsOption = None,
    json: JsonOption = False,
) -> None:
    """Measure annotators on people's labels, and save the score thresholds above which a verdict is positive.

    Example: curate calibrate --precision 0.9
    """
    from curation.annotate import calibrate as stage
    from curation.recipe import from_options

    given: dict[tuple[str, ...], Any] = {
        ("precision",): precision,
        ("annotators",): listed(annotators),
        ("patterns",): listed(patterns),
    }
    report(stage.run(corpus, from_options(stage.CalibrateRecipe, None, given)), json, stage.show)
