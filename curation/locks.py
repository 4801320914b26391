"""Locks between processes: whoever waits says for whom and since when, and says so again every minute.

A lock is the kernel's, on an open file, so it ends with its process, however that ends. What stands in the file (process, command, time)
only tells others whom they wait for, and is gone when the lock is given back.
"""

import fcntl
import io
import json
import os
import socket
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from curation import console

POLL_SECONDS = 0.1
"""Between two tries to get a lock."""
QUIET_SECONDS = 1.0
"""A shorter wait is not worth a line."""


class Holder(NamedTuple):
    """The process that holds a lock."""

    pid: int
    host: str
    command: str
    since: float
    """Seconds since 1970."""

    def describe(self) -> str:
        """Who it is, since when, and how to look."""
        at = datetime.fromtimestamp(self.since).astimezone().strftime("%H:%M:%S")
        where = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"`{self.command}` (pid {self.pid}{where}), which holds it since {at}"


class LockFile(io.TextIOWrapper):
    """The open file that holds a lock; empty again when it is closed by the process that took the lock."""

    holder: int | None = None
    """The process that took it; null while others hold it."""

    def close(self) -> None:
        """Give the lock back."""
        if not self.closed and self.holder == os.getpid():
            with suppress(OSError):
                self.truncate(0)
        super().close()


def take(path: Path, what: str, wait: bool = True, shared: bool = False) -> LockFile:
    """Take the lock on a file, and return the open file that holds it: closing it gives the lock back.

    Args:
        path: the lock file; made where there is none.
        what: what is locked, for the lines about the wait.
        wait: whether to wait while another process holds it.
        shared: whether others may hold it as well who take it so.

    Raises:
        OSError: if the file cannot be opened, is a link, or another process holds the lock and nobody waits.
    """
    # Not emptied, which would delete what the holder wrote; nor opened through a link: the folder may be a stranger's.
    opening = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = LockFile(os.fdopen(os.open(path, opening, 0o666), "a+b"), encoding="utf-8")
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    try:
        if wait:
            _wait(handle, how, path, what)
        else:
            fcntl.flock(handle, how)
        handle.holder = os.getpid()
        handle.truncate(0)
        handle.write(json.dumps(_ours()._asdict()))
        handle.flush()
    except BaseException:
        handle.close()
        raise
    return handle


def _wait(handle: LockFile, how: int, path: Path, what: str) -> None:
    began, told = time.monotonic(), -console.LINE_SECONDS
    while True:
        try:
            fcntl.flock(handle, how)
            return
        except BlockingIOError:
            waited = time.monotonic() - began
            if waited >= QUIET_SECONDS and waited - told >= console.LINE_SECONDS:
                told = waited
                console.say(f"waiting for {what}: {holder(path)}; Ctrl-C stops waiting")
            time.sleep(POLL_SECONDS)


def holder(path: Path) -> str:
    """Who holds the lock on a file, for a person."""
    try:
        named = Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return "another process"
    return "another process" if _gone(named) else named.describe()


def _gone(named: Holder) -> bool:
    """Of several who share a lock the last stands in the file, and may have been killed."""
    if named.host != socket.gethostname():
        return False
    try:
        os.kill(named.pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _ours() -> Holder:
    return Holder(os.getpid(), socket.gethostname(), command(), time.time())


def command() -> str:
    """The program and the command that run, without options, which may hold secrets."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    name = {"curation": "curate"}.get(name, name)
    words = []
    for word in sys.argv[1:3]:
        if not word.replace("-", "").isalpha() or word.startswith("-"):
            break
        words.append(word)
    return " ".join([name, *words])
