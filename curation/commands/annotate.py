"""`curate annotate, agree, calibrate`: each command is a few lines that call its stage."""

from pathlib import Path
from typing import Annotated

import typer

from curation.commands.options import (
    DEFAULT_CORPUS,
    LABELLING,
    MODEL,
    CorpusOption,
    Given,
    JsonOption,
    RecipeArgument,
    check_annotators,
    listed,
    taking,
)
from curation.commands.printing import answer, report
from curation.commands.quick import Commands

app = Commands()
PANEL = "Judge"


@app.command(rich_help_panel=PANEL)
@taking(MODEL)
def annotate(
    given: Given,
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
    from curation.annotate.abstentions import require_verdicts
    from curation.recipe import from_options

    names = listed(annotators) or (None if recipe else ["rules"])
    # annotators without a model, spread over the cluster's workers
    if given["engine", "kind"] == "ray" and given["engine", "model"] is None:
        given["engine", "kind"] = None
        given["ray_workers",] = given.pop(("engine", "replicas")) or 2
    given |= {
        ("annotators",): names,
        ("guard_prompt",): guard_prompt,
        ("samples",): samples,
        ("price_in",): price_in,
        ("price_out",): price_out,
    }
    settings = from_options(stage.AnnotateRecipe, recipe, given)
    if dry_run:
        console.json_result(stage.estimates(corpus, settings))
        return
    manifest = stage.run(corpus, settings)
    report(manifest, json)
    require_verdicts(manifest)


@app.command(rich_help_panel=PANEL)
@taking(LABELLING)
def agree(
    given: Given,
    corpus: CorpusOption = DEFAULT_CORPUS,
    json: JsonOption = False,
) -> None:
    """Show inter-annotator agreement, including people: alpha, Fleiss' and Cohen's kappa per pattern, with 95 % intervals.

    Examples:

        curate agree

        curate agree --annotators people,rules,judge:gpt-oss --json
    """
    from curation.annotate import agree as stage
    from curation.recipe import from_options

    answer(stage.read(corpus, from_options(stage.AgreeRecipe, None, given)), json, stage.show)


@app.command(rich_help_panel=PANEL)
@taking(LABELLING)
def calibrate(
    given: Given,
    corpus: CorpusOption = DEFAULT_CORPUS,
    precision: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Minimum precision; by default the best macro-F1.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure annotators on people's labels, and save the score thresholds above which a verdict is positive.

    Example: curate calibrate --precision 0.9
    """
    from curation.annotate import calibrate as stage
    from curation.recipe import from_options

    given["precision",] = precision
    report(stage.run(corpus, from_options(stage.CalibrateRecipe, None, given)), json, stage.show)
