"""`curate annotate, agree, calibrate`: each command is a few lines that call the `run` of its stage."""

from pathlib import Path
from typing import Annotated, Any

import typer

from curation.commands.options import (
    DEFAULT_CORPUS,
    CorpusOption,
    EngineOption,
    JsonOption,
    ModelOption,
    RecipeArgument,
    ReplicasOption,
    RevisionOption,
    TokenizerOption,
    UrlOption,
    report,
)
from schemas.errors import CurateError

app = typer.Typer()


@app.command()
def annotate(
    recipe: RecipeArgument = None,
    corpus: CorpusOption = DEFAULT_CORPUS,
    annotators: Annotated[
        str | None,
        typer.Option(
            "--annotators",
            "--annotator",
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

    names = annotators.split(",") if annotators else None if recipe else ["rules"]
    on_ray = (
        engine == "ray" and model is None
    )  # annotators without a model, spread over the cluster's workers
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
        ("price_in",): price_in,
        ("price_out",): price_out,
    }
    settings = from_options(stage.AnnotateRecipe, recipe, options)
    if dry_run:
        console.json_result(stage.estimates(corpus, settings))
        return
    manifest = stage.run(corpus, settings)
    report(manifest, json)
    if failed := manifest.counts.failed:
        listed = "; ".join(f"{reason} ({n})" for reason, n in list(failed.items())[:5])
        raise CurateError(f"some traces were not labelled: {listed}; repeat the command to retry them")


@app.command()
def agree(
    corpus: CorpusOption = DEFAULT_CORPUS,
    annotators: Annotated[
        str | None,
        typer.Option(
            help='Comma-separated names without versions, or "people" (their majority); all by default.'
        ),
    ] = None,
    patterns: Annotated[
        str | None, typer.Option(help="Comma-separated; the five risky ones by default.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show inter-annotator agreement, including people: alpha, Fleiss' and Cohen's kappa per pattern, with 95 % intervals.

    Examples:

        curate agree

        curate agree --annotators people,rules,judge:gpt-oss --json
    """
    from curation import console
    from curation.annotate import agree as stage

    agreements = stage.run(corpus, stage.AgreeRecipe(**_listed(annotators=annotators, patterns=patterns)))
    console.json_result(agreements) if json else stage.show(agreements)


@app.command()
def calibrate(
    corpus: CorpusOption = DEFAULT_CORPUS,
    precision: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Minimum precision; by default the best F1.")
    ] = None,
    annotators: Annotated[
        str | None, typer.Option(help="Comma-separated names without versions; all by default.")
    ] = None,
    patterns: Annotated[
        str | None, typer.Option(help="Comma-separated; the five risky ones by default.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure annotators on people's labels and keep the scores from which their word counts as a yes.

    Example: curate calibrate --precision 0.9
    """
    from curation import console
    from curation.annotate import calibrate as stage

    given = _listed(annotators=annotators, patterns=patterns)
    report = stage.run(corpus, stage.CalibrateRecipe(precision=precision, **given))
    console.json_result(report) if json else stage.show(report)


def _listed(**options: str | None) -> dict[str, Any]:
    return {name: tuple(value.split(",")) for name, value in options.items() if value}
