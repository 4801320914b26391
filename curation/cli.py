"""The `curate` command line, assembled from `commands/`. Each command is a few lines that call the `run` of its stage.

Stages are imported inside their command, so `curate --help` answers without loading Arrow, DuckDB or torch.
"""

from curation.commands import (
    annotate,
    codebook,
    corpus,
    generate,
    ingest,
    mix,
    overlap,
    project,
    review,
    train,
)
from curation.commands.quick import Commands
from curation.commands.running import Program, run_app, version_option

app = Commands(
    name="curate",
    help="Curate supervised data for large reasoning models: ingest, annotate, review, build mixes.",
    cls=Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.callback()(version_option("curate"))
for group in (project, ingest, overlap, corpus, annotate, generate, mix, train):
    app.add_typer(group.app)
app.add_typer(codebook.app, name="codebook", rich_help_panel="Judge")
app.add_typer(review.app, name="review", rich_help_panel="Review")


def main() -> None:
    """Run the command line; errors a user can act on print without a traceback and exit 1."""
    run_app(app)


if __name__ == "__main__":
    main()
