"""How long and how large an untrusted query may become: it runs in a thread of its own, under a clock and a memory limit.

DuckDB counts what its operators keep, but not what one function makes of one value, so the kernel's limit stands behind it.
"""

import os
import re
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from curation.corpus import memory
from schemas.errors import RecipeError

VARIABLE = "CURATE_QUERY_SECONDS"
DEFAULT = "600"
GRACE = 5.0
"""Seconds that an interrupted query has to stop."""

R = TypeVar("R")
_TURNS = threading.Lock()
"""The memory limit is the process's, so one query at a time has one."""


def bounded(connection: Any, work: Callable[[], R]) -> R:
    """Do some work with a connection; a Ctrl-C stops it at once.

    Raises:
        RecipeError: if it takes longer than CURATE_QUERY_SECONDS.
    """
    found: list[R] = []
    failed: list[BaseException] = []
    finished = threading.Event()

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            failed.append(error)
        finally:
            finished.set()

    with _TURNS, _memory_limit():
        threading.Thread(target=run, daemon=True).start()
        try:
            in_time = finished.wait(seconds())
        except KeyboardInterrupt:
            _stop(connection, finished)
            raise
        if not in_time:
            _stop(connection, finished)
            raise RecipeError(
                f"this SQL takes longer than {seconds():g} seconds; simplify it, or set {VARIABLE} to more"
            )
    if failed:
        raise failed[0]
    return found[0]


def seconds() -> float:
    """The time limit.

    Raises:
        RecipeError: if CURATE_QUERY_SECONDS is no number of seconds.
    """
    text = os.environ.get(VARIABLE, DEFAULT)
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text) or float(text) == 0:
        raise RecipeError(f"{VARIABLE}={text}: give a number of seconds, such as {VARIABLE}={DEFAULT}")
    return float(text)


def _stop(connection: Any, finished: threading.Event) -> None:
    connection.interrupt()
    finished.wait(GRACE)


@contextmanager
def _memory_limit() -> Iterator[None]:
    """Let the process grow by twice CURATE_MEMORY; its soft limit is put back afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    wanted = pages * resource.getpagesize() + 2 * memory.limit()
    if soft != resource.RLIM_INFINITY:
        wanted = min(wanted, soft)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
