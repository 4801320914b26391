"""Kills an engine's processes when this process dies: vLLM's would survive and keep the accelerator's memory.

A child waits on a pipe that only we hold open. When we die, in whatever way, the pipe ends and the child kills the engine,
by handles that cannot come to mean another process. Linux only; elsewhere nothing is done.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable

WAIT = """
import signal, sys
sys.stdin.buffer.read()
for handle in map(int, sys.argv[1:]):
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""

_waiting: list[subprocess.Popen[bytes]] = []
"""Held, since a pipe that nobody holds is closed."""


def take_along(pids: Iterable[int]) -> None:
    """See to it that these children die when this process does."""
    if not hasattr(os, "pidfd_open") or not hasattr(signal, "pidfd_send_signal"):
        return
    handles = [os.pidfd_open(pid) for pid in pids]
    if handles:
        _waiting.append(
            subprocess.Popen(
                [sys.executable, "-c", WAIT, *map(str, handles)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=handles,
                start_new_session=True,
            )
        )
    for handle in handles:
        os.close(handle)
