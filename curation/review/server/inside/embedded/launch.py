"""The order of starting: lock, secrets, environment, inline jobs, migration, search engine, owner, uvicorn, ready line.

Much of the order is forced: the server reads its settings and connects to Redis while it is being imported.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedded import pages

HOST = "127.0.0.1"
LOCK, SECRETS, READY, RUN = "lock", "credentials.json", "server.json", "run"
"""Files of HOME: the lock while a server runs, keys and passwords (0600), where the server listens, scratch space."""


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="embedded")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, default=6900)
    arguments = parser.parse_args()
    # uvicorn raises the signal again after its own shutdown, which would end this process before it has tidied up.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, lambda *_: sys.exit(0))
    home = arguments.home.resolve()
    with _locked(home), _scratch(home) as scratch:
        secrets = json.loads((home / SECRETS).read_text(encoding="utf-8"))
        _set_environment(home, scratch, secrets["secret_key"])
        app = _build_app(secrets["owner"])
        pages.change(scratch)
        asyncio.run(_serve(app, home, arguments.port))


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / LOCK).open("w") as handle:
        try:
            fcntl.flock(
                handle, fcntl.LOCK_EX | fcntl.LOCK_NB
            )  # the kernel lets go of it if this process is killed
        except OSError:
            sys.exit(f"another server is running on {home}")
        yield


@contextlib.contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    """A temporary folder of its own: the app copies its 14 MB web UI into TMPDIR at each start and leaves it there."""
    scratch = home / RUN
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _set_environment(home: Path, scratch: Path, secret_key: str) -> None:
    for name in [name for name in os.environ if name.startswith("ARGILLA_")]:
        del os.environ[name]  # settings of another Argilla on this machine
    os.environ.update(
        ARGILLA_HOME_PATH=str(home),
        ARGILLA_SEARCH_ENGINE="sqlite",
        ARGILLA_REDIS_URL="redis://none",
        ARGILLA_AUTH_SECRET_KEY=secret_key,  # by default a new one at each start, which signs every browser out
        ARGILLA_AUTH_OAUTH_CFG=str(home / "oauth.yaml"),  # by default .oauth.yaml of the working directory
        ARGILLA_DATABASE_SQLITE_TIMEOUT="30",
        ARGILLA_CORS_ORIGINS="[]",  # by default "*": any web page could call the server on localhost
        HF_HUB_DISABLE_TELEMETRY="1",  # by default the server calls home at start and for each request
        TMPDIR=str(scratch),
    )
    tempfile.tempdir = None


def _build_app(owner: dict[str, str]) -> Any:
    from embedded import jobs

    jobs.replace_redis()
    from embedded import accounts, speedups

    accounts.migrate()
    from argilla_server import app

    from embedded.search import engine  # noqa: F401  importing it registers it

    asyncio.run(accounts.ensure_owner(owner))
    jobs.run_inline()
    speedups.install()
    return app


async def _serve(app: Any, home: Path, port: int) -> None:
    import uvicorn
    from argilla_server.database import async_engine

    from embedded.search import database

    config = uvicorn.Config(
        app, host=HOST, port=port, access_log=False, log_level="warning", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    announcement = asyncio.create_task(_announce(server, home))
    try:
        await server.serve()
    finally:
        announcement.cancel()
        (home / READY).unlink(missing_ok=True)
        # The threads of open pools would keep this process alive, and the database would keep its -wal file.
        await async_engine.dispose()
        await database.engine.dispose()


async def _announce(server: Any, home: Path) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    ready = json.dumps({"url": f"http://{HOST}:{port}", "pid": os.getpid()})
    temporary = home / f".{READY}"
    temporary.write_text(ready, encoding="utf-8")
    temporary.replace(home / READY)
    print(ready, flush=True)  # noqa: T201
