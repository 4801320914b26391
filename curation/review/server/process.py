"""The embedded server as a process: start, stop, status, logs.

A server runs where its lock file is locked, and nowhere else: the kernel lets go of the lock even after kill -9, so a
stale pid can never be mistaken for a server.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from curation.corpus.store import make_folder
from curation.review.server import credentials, environment
from schemas.errors import ServerError

INSIDE = Path(__file__).parent / "inside"
LOG, LOCK, READY = "server.log", "lock", "server.json"
START_SECONDS = 300.0
STOP_SECONDS = 20.0
LOG_BYTES = 10_000_000
"""A larger log is put aside as server.log.old at the next start."""


class Server(NamedTuple):
    """A running server."""

    url: str
    pid: int


def default_home() -> Path:
    """Where the server keeps its database and passwords unless told otherwise."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "lrm-curate" / "review-server"


def running(home: Path) -> Server | None:
    """The server of this home, if one runs and is ready."""
    return _announced(home) if _is_locked(home) else None


def start(
    home: Path, port: int, reviewers: Sequence[str] = (), wheels: Path | None = None
) -> subprocess.Popen[bytes] | None:
    """Start the server of this home and wait until it is ready; null if it was running already.

    The new process belongs to the terminal's process group; see `detach` for one that outlives it.

    Raises:
        ServerError: if it cannot be installed, its port is taken, or it does not come up.
    """
    return _start(home, port, reviewers, wheels, detached=False)


def detach(home: Path, port: int, reviewers: Sequence[str] = (), wheels: Path | None = None) -> None:
    """Like `start`, for a server that stays when the terminal is closed."""
    _start(home, port, reviewers, wheels, detached=True)


def stop(home: Path) -> bool:
    """Stop the server of this home; false if none ran.

    Raises:
        ServerError: if it does not stop.
    """
    server = running(home)
    if server is None:
        return False
    os.kill(server.pid, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while _is_locked(home):
        if time.monotonic() > end:
            raise ServerError(
                f"the review server (pid {server.pid}) does not stop; end it with: kill -9 {server.pid}"
            )
        time.sleep(0.05)
    return True


def log_lines(home: Path, lines: int) -> list[str]:
    """The last lines of the server's log."""
    if not (home / LOG).exists():
        return []
    return (home / LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]


def _start(
    home: Path, port: int, reviewers: Sequence[str], wheels: Path | None, detached: bool
) -> subprocess.Popen[bytes] | None:
    python = environment.ensure(wheels)
    make_folder(home)
    home.chmod(0o700)
    credentials.ensure(home, list(reviewers))
    if running(home):
        return None
    if (home / LOG).exists() and (home / LOG).stat().st_size > LOG_BYTES:
        (home / LOG).replace(home / f"{LOG}.old")
    _check_port(port)
    command = [str(python), "-s", "-m", "embedded", "--home", str(home.resolve()), "--port", str(port)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with (home / LOG).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env=clean | {"PYTHONPATH": str(INSIDE), "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=detached,
        )
    _wait_until_ready(home, process)
    return process


def _check_port(port: int) -> None:
    """Before a start that would take seconds and end in a log: whether anybody else listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServerError(
                f"port {port} of this machine cannot be had ({error.strerror}); name another with --port, or --port 0 for any free one"
            ) from error


def _wait_until_ready(home: Path, process: subprocess.Popen[bytes]) -> None:
    # Looks at the ready file alone: trying the lock could take it from the server that is about to.
    end = time.monotonic() + START_SECONDS
    while True:
        server = _announced(home)
        if server and server.pid == process.pid:
            return
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            last = "\n  ".join(log_lines(home, 8))
            raise ServerError(f"the review server did not start; the end of {home / LOG}:\n  {last}")
        time.sleep(0.05)


def _announced(home: Path) -> Server | None:
    try:
        return Server(**json.loads((home / READY).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _is_locked(home: Path) -> bool:
    try:
        with (home / LOCK).open("r") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
