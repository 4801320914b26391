"""The `sft` command: prove a mix, train on it, score the model. Each command is a few lines that call its stage."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from curation.cli import DEFAULT_CORPUS, CorpusOption, JsonOption, run_app

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
    from sft import check as stage
    from sft import proof
    from sft.mix import read_mix

    rows = read_mix(mix).rows
    tokenizer = load_tokenizer(locate(model, revision))
    proven = stage.prove(tokenizer, rows, max_length)
    proof.report(proven, tokenizer, shown=show, json=json)
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
    from sft import train as stage

    manifest = stage.run(config)
    console.say_counts(manifest.stage, manifest.counts)
    if json:
        console.result(manifest.model_dump_json(indent=2))


@app.command()
def score(
    model: Annotated[str, typer.Argument(help="A run folder, a model or adapter folder, or a hub name.")],
    corpus: CorpusOption = DEFAULT_CORPUS,
    suite: Annotated[
        SuiteName, typer.Option(help="Harmful, benign or math prompts, or all of them.")
    ] = SuiteName.all,
    max_new_tokens: Annotated[
        int, typer.Option(help="Longest reply; what runs into it is counted apart.", min=1)
    ] = 4096,
    revision: RevisionOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the model the prompts of an evaluation corpus and count attack success, over-refusal and accuracy.

    Example: sft score runs/improved --corpus eval --suite safety
    """
    from curation import console
    from curation.engines import Sampling
    from sft import score as stage

    scores = stage.run(model, corpus, suite.value, Sampling(max_new_tokens=max_new_tokens), revision)
    console.result(scores.model_dump_json(indent=2)) if json else stage.show(scores)


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
