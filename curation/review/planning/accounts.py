"""`curate review account`: the people of the embedded server, who they are and how they get in again.

A new password is written to the credentials file before the server hears of it: whoever is killed in between repeats the command.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from curation.review.client import Client, embedded_target
from curation.review.server import credentials
from schemas.errors import ServerError


class Person(NamedTuple):
    """An account on the server."""

    name: str
    role: str
    """owner, admin or annotator (a reviewer)."""
    password_known: bool
    """Whether the credentials file has it."""


def people(home: Path) -> list[Person]:
    """Everybody with an account, in the order of names.

    Raises:
        ServerError: if the server does not run or does not answer.
    """
    known = credentials.load(home)
    passwords = {account.username for account in (known.owner, *known.reviewers)}
    users = Client(embedded_target(home)).users()
    return sorted(Person(user.name, user.role, user.name in passwords) for user in users)


def add(home: Path, names: Sequence[str]) -> None:
    """Make reviewers' accounts, with passwords of their own; those that exist stay as they are."""
    client = Client(embedded_target(home))
    there = {user.name for user in client.users()}
    known = credentials.ensure(home, [name for name in names if name not in there])
    client.ensure_reviewers([account for account in known.reviewers if account.username in names])


def reset(home: Path, names: Sequence[str]) -> None:
    """Give reviewers new passwords; their reviews stay.

    Raises:
        ServerError: if somebody has no account.
    """
    client = Client(embedded_target(home))
    ids = _ids(client, names)
    for name in names:
        client.change_password(ids[name], credentials.renew(home, name))


def remove(home: Path, names: Sequence[str]) -> None:
    """Delete reviewers' accounts. What they have submitted stays on the server, without a name: pull first.

    Raises:
        ServerError: if somebody has no account.
    """
    client = Client(embedded_target(home))
    ids = _ids(client, names)
    for name in names:
        client.request("DELETE", f"users/{ids[name]}")
        credentials.forget(home, name)


def _ids(client: Client, names: Sequence[str]) -> dict[str, str]:
    ids = {user.name: user.id for user in client.users() if user.role == "annotator"}
    if unknown := sorted(set(names) - set(ids)):
        raise ServerError(
            f"{client.url}: no reviewer {', '.join(unknown)}; there are: {', '.join(sorted(ids)) or 'none'}"
        )
    return ids
