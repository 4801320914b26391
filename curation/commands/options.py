"""Arguments and options that several commands share, and how a command reports what its stage did."""

from pathlib import Path
from typing import Annotated, Any

import typer

CorpusOption = Annotated[
    Path, typer.Option("--corpus", envvar="CURATE_CORPUS", help="The corpus folder.", file_okay=False)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")
]
DEFAULT_CORPUS = Path("corpus")
RecipeArgument = Annotated[
    Path | None, typer.Argument(help="A recipe file with any of these settings; options win over it.")
]
ModelOption = Annotated[
    str | None, typer.Option(help="A model's folder, a hub name, or a server's name for its model.")
]
RevisionOption = Annotated[str | None, typer.Option(help="The commit of a hub model.")]
EngineOption = Annotated[str | None, typer.Option(help="auto, vllm, transformers, openai or ray.")]
UrlOption = Annotated[str | None, typer.Option(help="A server's address, such as http://localhost:8000/v1.")]
ReplicasOption = Annotated[int | None, typer.Option(help="Engines that --engine ray runs over its cluster.")]
TokenizerOption = Annotated[str | None, typer.Option(help="Folder of the tokenizer of a server's model.")]


def report(manifest: Any, json: bool) -> None:
    """Say a stage's counts; with `json`, also print its manifest."""
    from curation import console

    console.say_counts(manifest.stage, manifest.counts)
    if json:
        console.result(manifest.model_dump_json(indent=2))
