"""`curate review server` and `curate review account`: each command is a few lines that call `curation.review.server` and its accounts."""

from pathlib import Path
from typing import Annotated

import typer

from curation.commands.options import (
    DEFAULT_PORT,
    HomeOption,
    JsonOption,
    NamesArgument,
    PortOption,
    ReviewersOption,
    WheelsOption,
    listed,
)
from curation.commands.quick import Commands

server = Commands(help="The embedded Argilla server in the background.", no_args_is_help=True)
account = Commands(help="Accounts of reviewers on the embedded server.", no_args_is_help=True)
SERVER = "The server"


@server.command(rich_help_panel=SERVER)
def start(
    home: HomeOption = None,
    port: PortOption = DEFAULT_PORT,
    reviewers: ReviewersOption = None,
    wheels: WheelsOption = None,
) -> None:
    """Start the server in the background; if it is running, only add the reviewers.

    Example: curate review server start --reviewers alice,bob
    """
    from curation.review.server import process

    folder = home or process.default_home()
    process.detach(folder, port, listed(reviewers) or (), wheels)
    greet(folder)


@server.command(rich_help_panel=SERVER)
def stop(home: HomeOption = None) -> None:
    """Stop the server; its data is kept.

    Example: curate review server stop
    """
    from curation import console
    from curation.review.server import process

    stopped = process.stop(home or process.default_home())
    console.say("stopped" if stopped else "no review server was running")


@server.command("status", rich_help_panel=SERVER)
def server_status(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show whether the server is running, and where. Exits 1 if it is not.

    Example: curate review server status --json
    """
    from curation import console
    from curation.review.server import process

    folder = home or process.default_home()
    running = process.running(folder)
    if json:
        console.json_result(
            {"home": str(folder), "running": running is not None, **(running._asdict() if running else {})}
        )
    elif running:
        console.result(f"running at {running.url} (pid {running.pid}), data in {folder}")
    else:
        console.result(f"not running, data in {folder}; start it with: curate review server start")
    if running is None:
        raise typer.Exit(1)


@server.command(rich_help_panel=SERVER)
def logs(
    home: HomeOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Number of lines.")] = 50,
) -> None:
    """Show the end of the server's log.

    Example: curate review server logs --lines 200
    """
    from curation import console
    from curation.review.server import process

    for line in process.log_lines(home or process.default_home(), lines):
        console.result(line)


def greet(home: Path) -> None:
    """Create the reviewers' accounts, and print where to sign in."""
    from curation import console
    from curation.review.client import Client, embedded_target
    from curation.review.server import credentials

    known = credentials.load(home)
    target = embedded_target(home)
    if known.reviewers:
        Client(target).ensure_reviewers(known.reviewers)
    console.result(target.url)
    people = ", ".join(account.username for account in (known.owner, *known.reviewers))
    console.say(
        f"accounts: {people}; their passwords are in {home / credentials.FILE} (only you can read it)"
    )


@account.command("list", rich_help_panel=SERVER)
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


@account.command(rich_help_panel=SERVER)
def add(names: NamesArgument, home: HomeOption = None) -> None:
    """Make accounts for reviewers. Who reviews a round is changed with curate review assign.

    Example: curate review account add dave,erin
    """
    from curation.review.planning import accounts

    accounts.add(_home(home), listed(names) or ())
    _say_where(home)


@account.command(rich_help_panel=SERVER)
def reset(names: NamesArgument, home: HomeOption = None) -> None:
    """Give reviewers new passwords, for instance if theirs are lost; their reviews stay.

    Example: curate review account reset alice
    """
    from curation.review.planning import accounts

    accounts.reset(_home(home), listed(names) or ())
    _say_where(home)


@account.command(rich_help_panel=SERVER)
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
