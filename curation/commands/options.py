"""Arguments and options that several commands share, and the report of a stage."""

from pathlib import Path
from typing import Annotated, Any

import typer

CorpusOption = Annotated[
    Path, typer.Option("--corpus", envvar="CURATE_CORPUS", help="The corpus folder.", file_okay=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print only one JSON document on stdout.")]
DEFAULT_CORPUS = Path("corpus")
RecipeArgument = Annotated[Path | None, typer.Argument(help="A recipe file; options override it.")]
ModelOption = Annotated[
    str | None, typer.Option(help="A model folder, a hub name, or a model name on the server.")
]
RevisionOption = Annotated[str | None, typer.Option(help="The commit of a hub model.")]
EngineOption = Annotated[str | None, typer.Option(help="auto, vllm, transformers, openai or ray.")]
UrlOption = Annotated[str | None, typer.Option(help="A server's address, such as http://localhost:8000/v1.")]
ReplicasOption = Annotated[
    int | None, typer.Option(help="Number of engines on the cluster, with --engine ray.")
]
TokenizerOption = Annotated[str | None, typer.Option(help="Tokenizer folder of the server's model.")]


def report(manifest: Any, json: bool) -> None:
    """Print a stage's counts; with `json`, also its manifest."""
    from curation import console

    console.say_counts(manifest.stage, manifest.counts)
    if json:
        console.result(manifest.model_dump_json(indent=2))
