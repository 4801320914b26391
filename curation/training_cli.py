"""The commands that train this project's own small models: `curate train-annotator`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("train-annotator")
def train_annotator(
    out: Annotated[Path, typer.Option(help="Folder for heads.safetensors and card.json.", file_okay=False)],
) -> None:
    """Train the embedding annotator and the ensemble on the labelled set, as the shipped ones were; minutes on a CPU.

    Example: curate train-annotator --out my-annotator
    """
    from annotators.embedding.training import train
    from curation import console

    card = train(out)
    console.result(f"{out}: trained on {card.traces} traces of {card.topics} topics; on topics left out:")
    for annotator, patterns in card.cross_validated.items():
        for name, score in patterns.items():
            console.result(
                f"  {annotator:10} {name:26} P {score['precision']:.2f}  R {score['recall']:.2f}  F1 {score['f1']:.2f}"
            )
