"""The connection to an Argilla server, embedded or any other: who may sign in, and requests with readable errors.

Records and responses travel over REST through the SDK's own connection: the SDK cannot read a discarded response without
values, and it sends more than it needs to.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from curation.review.server import credentials, process
from curation.review.server.credentials import Account
from curation.trust import hide_password, sendable
from schemas.errors import ServerError, require
from schemas.hiding import hide_in, hide_known

TIMEOUT_SECONDS = 300
URL_VARIABLE, KEY_VARIABLE = "ARGILLA_API_URL", "ARGILLA_API_KEY"


class ArgillaServer(NamedTuple):
    """Which server, and as whom."""

    url: str
    api_key: str


class User(NamedTuple):
    """A person on the server."""

    id: str
    name: str
    role: str


class Client:
    """A signed-in connection.

    Raises:
        ServerError: if the server cannot be reached or does not accept the key, or it is a reviewer's.
        MissingExtraError: if the `argilla` package is not installed.
    """

    def __init__(self, target: ArgillaServer) -> None:
        self.url = target.url.rstrip("/")
        argilla = load_argilla()
        with self.errors_explained():
            self.sdk = argilla.Argilla(
                api_url=self.url, api_key=target.api_key, timeout=TIMEOUT_SECONDS, retries=2
            )
        self._http = self.sdk.api.http_client
        self._check_role()

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """The decoded answer to a request below /api/v1.

        Raises:
            ServerError: if there is none, or it is an error; `status` of its cause tells which.
        """
        with self.errors_explained():
            response = self._http.request(method, f"/api/v1/{path}", **arguments)
        if response.is_error:
            raise Refused(
                f"{self.url}: {method} {path} was refused ({response.status_code}): {_detail(response)}",
                response,
            )
        return hide_in(response.json(), hide_known) if response.content else None

    def pages(self, path: str, size: int, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All items behind a path that answers in pages."""
        offset = 0
        while True:
            page = self.request("GET", path, params={**parameters, "offset": offset, "limit": size})["items"]
            yield from page
            if len(page) < size:
                return
            offset += size

    def users(self, workspace_id: str | None = None) -> list[User]:
        """Everybody on the server, or the members of a workspace."""
        path = f"workspaces/{workspace_id}/users" if workspace_id else "users"
        return [
            User(item["id"], item["username"], item["role"]) for item in self.request("GET", path)["items"]
        ]

    def ensure_reviewers(self, accounts: Sequence[Account]) -> None:
        """Create those accounts that the server does not have."""
        known = {user.name for user in self.users()}
        for account in accounts:
            if account.username not in known:
                person = {
                    "username": account.username,
                    "first_name": account.username,
                    "password": account.password,
                }
                self.request("POST", "users", json=person | {"role": "annotator"})

    def change_password(self, user_id: str, password: str) -> None:
        """Give a user a new password."""
        self.request("PATCH", f"users/{user_id}", json={"password": password})

    def _check_role(self) -> None:
        me = self.request("GET", "me")
        if me["role"] == "annotator":
            raise ServerError(
                f"{self.url}: this is the API key of {me['username']}, who is a reviewer; rounds are sent and fetched with an owner's "
                f"key, in --api-key or {KEY_VARIABLE}"
            )

    @contextmanager
    def errors_explained(self) -> Iterator[None]:
        """Turn what the SDK and its transport raise into ServerError."""
        import httpx

        argilla_error: type[Exception] = load_argilla()._exceptions.ArgillaError
        try:
            yield
        except httpx.TransportError as error:
            raise ServerError(
                f"{self.url}: the review server does not answer ({type(error).__name__}); check it with `curate review "
                "server status`, then run the same command again: what has arrived is kept"
            ) from error
        except (argilla_error, httpx.HTTPStatusError, httpx.InvalidURL, ValueError) as error:
            raise ServerError(
                f"{self.url}: {str(error) or type(error).__name__}; check --url and --api-key"
            ) from error


class Refused(ServerError):
    """The server answered with an error."""

    def __init__(self, message: str, response: Any) -> None:
        super().__init__(message)
        self.status: int = response.status_code


def find_target(url: str | None, api_key: str | None, home: Path) -> ArgillaServer:
    """The server that is meant: the one that is named, or else the embedded one of `home`.

    Raises:
        ServerError: if the named one lacks a key, or the embedded one does not run.
        RecipeError: if no HTTP header can hold the key.
    """
    url = url or os.environ.get(URL_VARIABLE)
    api_key = api_key or os.environ.get(KEY_VARIABLE)
    if url:
        if not api_key:
            raise ServerError(
                f"{url}: no API key; give --api-key or set {KEY_VARIABLE} (your settings page in Argilla shows it)"
            )
        hide_password(url)
        return ArgillaServer(with_scheme(url), sendable(api_key, "the API key of the review server"))
    return embedded_target(home)


def with_scheme(url: str) -> str:
    """An address as it was meant: without a scheme it is plain HTTP on this machine, and HTTPS elsewhere."""
    if "://" in url:
        return url
    host = url.partition("/")[0].rpartition("@")[2].rsplit(":", 1)[0].strip("[]")
    return f"{'http' if host in ('localhost', '127.0.0.1', '::1') else 'https'}://{url}"


def embedded_target(home: Path) -> ArgillaServer:
    """The embedded server of `home`, as its owner.

    Raises:
        ServerError: if it does not run.
    """
    server = process.running(home)
    if server is None:
        raise ServerError(
            f"no review server runs on {home}; start it with `curate review server start`, or name another with --url"
        )
    return ArgillaServer(server.url, credentials.load(home).api_key)


def load_argilla() -> Any:
    """The `argilla` package.

    Raises:
        MissingExtraError: if it is not installed.
    """
    require("argilla")
    import argilla
    import argilla._exceptions

    return argilla


def _detail(response: Any) -> str:
    try:
        detail = response.json().get("detail", "")
    except (ValueError, AttributeError):
        detail = response.text
    return str(detail)[:500]
