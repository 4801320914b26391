"""Answers on a port of this machine, and nowhere else, until it is stopped."""

import getpass
import socket
from pathlib import Path
from typing import Any

from curation import console
from curation.review.reviews import reviewer_name
from schemas.errors import ServerError, UsageError, require

HOST = "127.0.0.1"


def serve(
    corpus_dir: Path, mixes: list[Path], *, reviewer: str, port: int, index: Path | None = None
) -> None:
    """Index what is new, print the address with the token, and answer until Ctrl-C.

    Args:
        corpus_dir: the corpus.
        mixes: folders of mixes made of it.
        reviewer: whose labels are saved.
        port: on this machine; 0 takes a free one.
        index: folder of the search index; in the corpus by default.

    Raises:
        MissingExtraError: without the extra `view`.
        ServerError: if the port is taken.
    """
    require("starlette", "uvicorn")
    import uvicorn

    from curation.view.app import make_app
    from curation.view.guard import PageGuard
    from curation.view.workplace import Workplace

    with bound(port) as listening:
        port = listening.getsockname()[1]
        place = Workplace(corpus_dir, mixes, reviewer=reviewer, folder=index)
        guard = PageGuard(make_app(place), port)
        console.say(f"{place.size:,} traces; labels are saved as human:{reviewer}; Ctrl-C stops")
        listening.listen()  # who reads the address may come at once
        console.result(f"http://{HOST}:{port}/?token={guard.token}")
        server = uvicorn.Server(settings(guard))
        server.run(sockets=[listening])


def reviewer(name: str | None) -> str:
    """A person's name in the letters of an annotator; the login name where none is given.

    Raises:
        UsageError: if the system knows no login name either.
    """
    try:
        return reviewer_name(name or getpass.getuser())
    except (KeyError, OSError) as error:
        raise UsageError("this system has no login name for you; give one with --name") from error


def settings(app: Any) -> Any:
    """The server's settings: quiet, and without waiting long for open browsers when it stops."""
    import uvicorn

    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=2,
    )


def bound(port: int) -> socket.socket:
    """A socket on a port of this machine.

    Raises:
        ServerError: if another program has it.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise ServerError(
            f"port {port} of {HOST}: {error.strerror}; take a free one with --port 0"
        ) from error
    return listening
