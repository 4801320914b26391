"""The server's own Python environment, made on first use and shared by all corpora of this user.

Its folder is named after the pinned requirements and the Python version, so a new pin makes a new environment. A marker
written last says that it is complete: a killed installation goes on from pip's cache at the next try.
"""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curation import console
from curation.corpus.store import make_folder, write_file
from schemas.errors import ServerError
from schemas.ids import bytes_id

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
NEWEST_PYTHON = (3, 13)
COMPLETE = "complete"
CACHED = "what is downloaded is in pip's cache; run the same command again to go on"
LOOK_SECONDS = 0.5


def ensure(wheels: Path | None = None) -> Path:
    """The environment's Python; installs the environment where it is not complete.

    Args:
        wheels: a folder of wheels to install from instead of the package index.

    Raises:
        ServerError: if this Python is too new for the server, or the installation fails.
    """
    folder = location()
    python = folder / "bin" / "python"
    if (folder / COMPLETE).exists():
        return python
    if sys.version_info[:2] > NEWEST_PYTHON:
        raise ServerError(
            f"argilla-server 2.8 runs on Python {'.'.join(map(str, NEWEST_PYTHON))} at most and this is "
            f"{sys.version.split()[0]}; use an older Python, or another Argilla with --url and --api-key"
        )
    make_folder(folder)
    with _turn(folder):
        if not (folder / COMPLETE).exists():
            _install(folder, wheels)
            write_file(folder / COMPLETE, b"")
    return python


def location() -> Path:
    """Where the environment is or will be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = ".".join(map(str, sys.version_info[:2]))
    return cache / "lrm-curate" / f"review-server-py{version}-{bytes_id(REQUIREMENTS.read_bytes())[:12]}"


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    with (folder.parent / f"{folder.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _install(folder: Path, wheels: Path | None) -> None:
    console.say(f"review server: first use, installing Argilla into {folder} (about 600 MB, a minute or two)")
    list(_run([sys.executable, "-m", "venv", str(folder)]))
    offline = ["--no-index", "--find-links", str(wheels)] if wheels else []
    command = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        *offline,
    ]
    total = sum(1 for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#"))
    lines = _run([*command, "--requirement", str(REQUIREMENTS)])
    with console.progress(
        "download the review server", total=total, unit="packages", keeps=CACHED
    ) as advance:
        for line in lines:
            if line.startswith("Installing collected packages"):
                break
            if line.startswith("Collecting "):
                advance()
    with (
        console.progress("unpack and compile it", total=total, unit="packages", keeps=CACHED) as advance,
        _counting_unpacked(folder, advance),
    ):
        list(lines)


@contextmanager
def _counting_unpacked(folder: Path, advance: console.Advance) -> Iterator[None]:
    """Count packages as they appear: pip says nothing while it unpacks, which is most of the time."""
    done = threading.Event()

    def count() -> None:
        known = 0
        while not done.wait(LOOK_SECONDS):
            found = sum(1 for _ in folder.glob("lib/python*/site-packages/*.dist-info"))
            advance(max(0, found - known))
            known = max(known, found)

    watcher = threading.Thread(target=count, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _run(command: list[str]) -> Iterator[str]:
    """Run a command and yield its lines; ServerError with its last lines if it fails."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        yield line
    if process.wait() != 0:
        last = "\n  ".join(lines[-5:])
        raise ServerError(
            f"installing the review server failed:\n  {last}\nrun the same command again to go on; without a network, "
            f"give a folder filled by `pip download -r {REQUIREMENTS} -d DIR` with --wheels DIR"
        )
