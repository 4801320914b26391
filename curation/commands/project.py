"""`curate init, doctor, run`: each command is a few lines that call `curation/project`."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from curation.commands import ingest
from curation.commands.options import JsonOption
from curation.commands.printing import answer, check_failed
from curation.commands.quick import Commands

if TYPE_CHECKING:
    from curation.project.pipeline import DoneStep

app = Commands()
PANEL = "Start here"


@app.command(rich_help_panel=PANEL)
def init(
    folder: Annotated[Path, typer.Argument(help="The project's folder: new, or without these files.")],
) -> None:
    """Make a commented project folder with sample data, a recipe and a pipeline file that runs as it is.

    Example: curate init my-project
    """
    from curation import console
    from curation.project import start

    for path in start.make(folder):
        console.result(str(path))
    console.say(f"next: cd {quote(str(folder))} && curate run pipeline.yaml")


@app.command(rich_help_panel=PANEL)
def doctor(json: JsonOption = False) -> None:
    """Show what this machine has and lacks (extras, GPU, memory, sandbox, hub access), with the command for each.

    Example: curate doctor
    """
    from curation.project import doctor as stage

    answer(stage.read(), json, stage.show)


@app.command("run", rich_help_panel=PANEL)
def run_pipeline(
    pipeline: Annotated[Path, typer.Argument(help="A YAML file with corpus, ingest, annotate and so on.")],
    json: JsonOption = False,
) -> None:
    """Run a pipeline file: ingest, annotate, dedup, decontaminate, build-mix; only what changed is done again.

    Example: curate run pipeline.yaml
    """
    from curation import console
    from curation.project import pipeline as stage

    done = []
    for step in stage.carry_out(pipeline):
        _tell(step)
        done.append(step)
    if json:
        console.json_result(done)


def _tell(step: "DoneStep") -> None:
    """Say the counts of a step as its own command does; raises CurateError if work was left undone."""
    from curation import console

    if step.step == "ingest" and step.fresh:
        ingest.tell(step.manifest, step.title.removeprefix("ingest "))
    console.say_counts(step.step, step.manifest.counts)
    check_failed(step.manifest)
