"""`curate review account`: each command is a few lines that call `curation.review.planning.accounts`."""

from pathlib import Path
from typing import Annotated

import typer

from curation.commands.options import HomeOption, JsonOption, listed

app = typer.Typer(help="Accounts of reviewers on the embedded server.", no_args_is_help=True)
PANEL = "The server"
NamesArgument = Annotated[str, typer.Argument(help="Comma-separated user names.")]


@app.command("list", rich_help_panel=PANEL)
def list_(home: HomeOption = None, json: JsonOption = False) -> None:
    """List the accounts, and whose password is in the credentials file.

    Example: curate review account list
    """
    from curation import console
    from curation.review.planning import accounts

    people = accounts.people(_home(home))
    if json:
        console.json_result([person._asdict() for person in people])
    else:
        console.show_rows(["name", "role", "password_known"], [person._asdict() for person in people])


@app.command(rich_help_panel=PANEL)
def add(names: NamesArgument, home: HomeOption = None) -> None:
    """Make accounts for reviewers. Who reviews a round is changed with curate review assign.

    Example: curate review account add dave,erin
    """
    from curation.review.planning import accounts

    accounts.add(_home(home), listed(names) or ())
    _say_where(home)


@app.command(rich_help_panel=PANEL)
def reset(names: NamesArgument, home: HomeOption = None) -> None:
    """Give reviewers new passwords, for instance if theirs are lost; their reviews stay.

    Example: curate review account reset alice
    """
    from curation.review.planning import accounts

    accounts.reset(_home(home), listed(names) or ())
    _say_where(home)


@app.command(rich_help_panel=PANEL)
def remove(names: NamesArgument, home: HomeOption = None) -> None:
    """Delete the accounts of reviewers. Pull their rounds first: the server keeps their answers without a name.

    Example: curate review account remove dave
    """
    from curation import console
    from curation.review.planning import accounts

    accounts.remove(_home(home), listed(names) or ())
    console.say("removed; replan their open traces with: curate review assign --round NAME --reviewers NAMES")


def _home(home: Path | None) -> Path:
    from curation.review.server import process

    return home or process.default_home()


def _say_where(home: Path | None) -> None:
    from curation import console
    from curation.review.server import credentials

    console.say(f"the passwords are in {_home(home) / credentials.FILE} (only you can read it)")
