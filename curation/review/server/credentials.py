"""Passwords and keys of the embedded server, in one file that only this user can read (0600).

Written before the accounts themselves are made: whoever is killed in between still knows every password.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any, NamedTuple

from schemas.errors import ServerError
from schemas.hiding import remember

FILE = "credentials.json"
OWNER = "owner"


class Account(NamedTuple):
    """A person who may sign in."""

    username: str
    password: str


class Credentials(NamedTuple):
    """What the file holds."""

    owner: Account
    api_key: str
    """The owner's key: it may do everything."""
    reviewers: tuple[Account, ...]


def ensure(home: Path, reviewers: list[str]) -> Credentials:
    """The server's credentials, with those of reviewers who have none made up now.

    Raises:
        ServerError: if the file is there and cannot be read.
    """
    known = _read(home / FILE) if (home / FILE).exists() else _made_up()
    missing = [name for name in reviewers if name not in known["reviewers"] and name != OWNER]
    known["reviewers"] |= {name: secrets.token_urlsafe(12) for name in missing}
    if missing or not (home / FILE).exists():
        _write(home / FILE, known)
    return _credentials(known)


def renew(home: Path, name: str) -> str:
    """Make up a new password of a reviewer, who is added if the file does not know them. Returns it."""
    known = _read(home / FILE)
    known["reviewers"][name] = secrets.token_urlsafe(12)
    _write(home / FILE, known)
    _credentials(known)
    return str(known["reviewers"][name])


def forget(home: Path, name: str) -> None:
    """Remove a reviewer from the file."""
    known = _read(home / FILE)
    if known["reviewers"].pop(name, None):
        _write(home / FILE, known)


def load(home: Path) -> Credentials:
    """The server's credentials.

    Raises:
        ServerError: if there are none, because no server was ever started here, or they cannot be read.
    """
    return _credentials(_read(home / FILE))


def _made_up() -> dict[str, Any]:
    owner = {"username": OWNER, "password": secrets.token_urlsafe(12), "api_key": secrets.token_urlsafe(32)}
    return {"secret_key": secrets.token_hex(32), "owner": owner, "reviewers": {}}


def _credentials(known: dict[str, Any]) -> Credentials:
    owner = known["owner"]
    for secret in (owner["password"], owner["api_key"], *known["reviewers"].values()):
        remember(secret)
    accounts = tuple(Account(name, password) for name, password in known["reviewers"].items())
    return Credentials(Account(owner["username"], owner["password"]), owner["api_key"], accounts)


def _read(path: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _credentials(known)
    except FileNotFoundError as error:
        raise ServerError(
            f"{path.parent}: no review server was started here; run: curate review serve"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServerError(
            f"{path}: cannot be read ({error}); restore it, or move it away to have new ones made"
        ) from error
    return known


def _write(path: Path, known: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        json.dump(known, handle, indent=2)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
