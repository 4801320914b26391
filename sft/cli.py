"""The `sft` command: prove a mix, train on it, score the model. Each command is a few lines that call its stage."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from curation.commands.options import DEFAULT_CORPUS, CorpusOption, JsonOption
from curation.commands.running import run_app
from schemas.errors import RecipeError

app = typer.Typer(
    name="sft",
    help="Train on a mix and score what it did: check, run, score.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

RevisionOption = Annotated[str | None, typer.Option(help="Commit (40 hex digits) of a hub model.")]


class SuiteName(StrEnum):
    """What `sft score --suite` takes."""

    safety = "safety"
    overrefusal = "overrefusal"
    reasoning = "reasoning"
    all = "all"


class ThinkMode(StrEnum):
    """What `sft score --think` takes."""

    as_is = "as_is"
    zero = "zero"
    less = "less"


class ExportName(StrEnum):
    """What `sft score --export` takes."""

    inspect = "inspect"


@app.command()
def check(
    mix: Annotated[Path, typer.Option(help="A folder made by `curate build-mix`.", file_okay=False)],
    model: Annotated[str, typer.Option(help="A model folder (its tokenizer is enough), or a hub name.")],
    revision: RevisionOption = None,
    max_length: Annotated[int, typer.Option(help="Longest row in tokens.", min=8)] = 4096,
    show: Annotated[
        int, typer.Option(help="Also print this many rows, unmasked, as they are trained.", min=0)
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Prove that every row of a mix teaches its whole reasoning, answer and EOS to this model, and nothing else.

    Exits 1 if a row is not proven; `sft run` would refuse to train on it.

    Example: sft check --mix mixes/improved --model models/DeepSeek-R1-Distill-Qwen-7B --show 2
    """
    from curation.engines.weights import load_tokenizer, locate
    from sft.proof import check as stage
    from sft.proof import shown
    from sft.proof.mix import read_mix

    rows = read_mix(mix).rows
    tokenizer = load_tokenizer(locate(model, revision))
    proven = stage.prove(tokenizer, rows, max_length)
    shown.report(proven, tokenizer, shown=show, json=json)
    stage.demand(proven, str(mix), model)


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="A YAML file; `sft/recipes` has the study's.")],
    json: JsonOption = False,
) -> None:
    """Train on a mix. Refuses unless every row is proven; goes on where a killed run stopped.

    Example: sft run study-lora.yaml
    """
    from curation import console
    from sft.training import stage

    manifest = stage.run(config)
    console.say_counts(manifest.stage, manifest.counts)
    if json:
        console.result(manifest.model_dump_json(indent=2))


@app.command()
def plan(
    config: Annotated[Path, typer.Argument(help="A config of `sft run`.", dir_okay=False)],
    device: Annotated[str, typer.Option(help="a100-40, a100-80, h100, h200, l40s or rtx4090.")] = "h100",
    devices: Annotated[int, typer.Option(help="How many train together.", min=1)] = 1,
    sharding: Annotated[
        str, typer.Option(help="none, zero2, or zero3 (the same as FSDP's full sharding).")
    ] = "none",
    json: JsonOption = False,
) -> None:
    """Estimate memory and time of a run, from the model's config and the mix; nothing is loaded. Exits 1 if it does not fit.

    Example: sft plan study-full.yaml --device h100 --devices 8 --sharding zero3
    """
    from curation import console
    from curation.recipe import load_recipe
    from sft.proof.mix import read_mix
    from sft.training import plan as stage
    from sft.training.config import TrainConfig

    if device not in stage.DEVICES:
        raise RecipeError(f"--device {device}: unknown; there are {', '.join(stage.DEVICES)}")
    how = stage.sharding(sharding)
    settings = load_recipe(config, TrainConfig).recipe
    mix = read_mix(Path(settings.mix))
    shape = stage.shape_of(settings.model, settings.revision)
    tflops = stage.DEVICES[device][1]
    found = stage.estimate(shape, settings, len(mix.rows), stage.tokens_of(mix), devices, tflops, how)
    fits = stage.fits(found, device)
    if json:
        console.json_result({**found._asdict(), "gb": found.gb, "fits": fits})
    else:
        stage.show(found, device, devices, how)
    if not fits:
        raise typer.Exit(1)


@app.command()
def inspect(
    run: Annotated[Path, typer.Argument(help="A run, finished or not.", file_okay=False)],
    out: Annotated[Path, typer.Option(help="The HTML file.", dir_okay=False)] = Path("run.html"),
    samples: Annotated[
        int, typer.Option(help="Prompts of the mix that base and trained model answer.", min=0)
    ] = 0,
) -> None:
    """Write a page about a run: loss curves, loss by part, learning rate, settings, and answers before and after.

    Example: sft inspect runs/improved --samples 5 --out improved.html
    """
    from curation import console
    from sft.training import inspect as stage

    stage.run(run, out, samples)
    console.result(str(out))


@app.command()
def probe(
    run: Annotated[Path, typer.Argument(help="A finished run with a `presafe:` block.", file_okay=False)],
    corpus: CorpusOption = DEFAULT_CORPUS,
    out: Annotated[
        Path | None,
        typer.Option(help="JSONL file of each prompt's reading; ids, no text.", dir_okay=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Read PreSafe's safety head before the chain of thought: mean P(refusal) by kind and attack, AUROC harmful against benign.

    Example: sft probe runs/presafe --corpus eval --out readings.jsonl
    """
    from curation import console
    from sft.scoring import readout as stage

    found = stage.run(run, corpus, out)
    console.json_result(stage.document(found)) if json else stage.show(found)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A finished run.", file_okay=False)],
    out: Annotated[Path, typer.Option(help="A new folder for the model.", file_okay=False)],
    dtype: Annotated[str, typer.Option(help="bfloat16, float32, or auto.")] = "bfloat16",
) -> None:
    """Write a run as a plain model folder with tokenizer, template and card; adapters are merged into their base.

    Example: sft export runs/improved-lora --out models/improved
    """
    from curation import console
    from sft.training import export as stage

    console.result(stage.run(run, out, dtype))


@app.command()
def score(
    model: Annotated[
        str,
        typer.Argument(help="A run, model or adapter folder, a hub name, or a server's name for its model."),
    ],
    corpus: CorpusOption = DEFAULT_CORPUS,
    suite: Annotated[
        SuiteName, typer.Option(help="Harmful, benign or math prompts, or all of them.")
    ] = SuiteName.all,
    max_new_tokens: Annotated[
        int, typer.Option(help="Longest reply; what runs into it is counted apart.", min=1)
    ] = 4096,
    temperature: Annotated[float, typer.Option(help="0 is greedy.", min=0)] = 0,
    top_p: Annotated[float, typer.Option(min=0, max=1)] = 1,
    samples: Annotated[int, typer.Option(help="Replies per prompt; several need a temperature.", min=1)] = 1,
    think: Annotated[
        ThinkMode, typer.Option(help="zero: chain of thought off; less: a short fixed one.")
    ] = ThinkMode.as_is,
    annotators: Annotated[
        str, typer.Option(help="Comma-separated judges, such as rules,ensemble.")
    ] = "rules,overrefusal",
    engine: Annotated[str, typer.Option(help="auto, vllm, transformers or openai.")] = "auto",
    base_url: Annotated[
        str | None, typer.Option(help="A server's address, such as http://localhost:8000/v1.")
    ] = None,
    revision: RevisionOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for scores.json and outcomes.jsonl; a run keeps its own.", file_okay=False),
    ] = None,
    export: Annotated[
        ExportName | None, typer.Option(help="Also logs for `inspect view`, beside the scores.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Leave the texts of these logs unmasked.")] = False,
    json: JsonOption = False,
) -> None:
    """Ask the model the prompts of an evaluation corpus and count attack success, over-refusal and accuracy.

    Prompts of kind harmful, benign and math make the suites; jailbreak families (`attack`) are shown apart.

    Examples:

        sft score runs/improved --corpus eval --suite safety

        sft score MODEL --corpus eval --suite reasoning --samples 4 --temperature 0.6 --top-p 0.95 --out scores/raw
    """
    from curation import console
    from curation.annotate.stage import AnnotateRecipe
    from curation.engines import Sampling
    from curation.engines.settings import EngineSettings
    from curation.recipe import from_options
    from sft.scoring import stage
    from sft.scoring.asking import Asking

    server = {"base_url": base_url} if base_url else None
    settings = from_options(
        EngineSettings,
        None,
        {("kind",): engine, ("model",): model, ("revision",): revision, ("server",): server},
    )
    if show and not export:
        raise typer.BadParameter("only logs show texts; add --export inspect", param_hint="--show")
    if export and not out and not (Path(model) / "run.json").is_file():
        raise RecipeError("--export: name a folder for the logs with --out")
    if samples > 1 and temperature == 0:
        raise RecipeError("--samples: at temperature 0 they are all the same; add --temperature 0.6")
    sampling = Sampling(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p)
    judging = AnnotateRecipe(annotators=annotators.split(","))
    asking, logs = Asking(sampling, samples, think.value), stage.Export(show) if export else None
    scores = stage.run(settings, corpus, suite.value, asking, judging, out, logs)
    console.result(scores.model_dump_json(indent=2)) if json else stage.show(scores)


@app.command()
def compare(
    folders: Annotated[
        list[Path], typer.Argument(help="Runs, or folders that `sft score --out` named.", file_okay=False)
    ],
    names: Annotated[str | None, typer.Option(help="Comma-separated names of the models, in order.")] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Name of the model that the others are measured against, as for ablations."),
    ] = None,
    format: Annotated[str, typer.Option(help="markdown, csv or latex, on stdout.")] = "markdown",
    out: Annotated[Path | None, typer.Option(help="Also write an HTML page.", dir_okay=False)] = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Comparison",
    json: JsonOption = False,
) -> None:
    """Put scored models side by side: a table with intervals, which differences are none, and the prompts that flipped.

    Example: sft compare runs/default runs/improved --out compare.html
    """
    from curation import console
    from sft.comparison import stage, tables

    if format not in tables.FORMATS:
        raise RecipeError(f"--format {format}: unknown; there are {', '.join(tables.FORMATS)}")
    found = stage.compare(stage.load(folders, names.split(",") if names else ()), base)
    if out:
        tables.write_page(found, out, title)
    if json:
        console.json_result(tables.document(found))
        return
    console.result(tables.FORMATS[format](found).rstrip())
    for difference in found.differences:
        console.say(f"{difference.column}: {difference.first} and {difference.second}: {difference.verdict}")


@app.command()
def sweep(
    recipe: Annotated[
        Path, typer.Argument(help="A YAML file; `sft/recipes/sweeps` has the study's.", dir_okay=False)
    ],
    json: JsonOption = False,
) -> None:
    """Train and score mixes x settings x seeds, and compare them; run it again to go on after a stop.

    Example: sft sweep learning-rates.yaml
    """
    from curation import console
    from sft import sweep as stage
    from sft.comparison import tables

    found = stage.run(recipe)
    console.json_result(tables.document(found)) if json else console.result(tables.markdown(found).rstrip())


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="A new folder, or one of an earlier demo.", file_okay=False)
    ] = Path("demo-out"),
    json: JsonOption = False,
) -> None:
    """Run the whole loop on bundled samples with tiny models: three minutes, no GPU, no network."""
    from curation import console
    from sft import demo as stage

    found = stage.run(out)
    if json:
        console.json_result(found)


def main() -> None:
    """Run the command line."""
    run_app(app)
