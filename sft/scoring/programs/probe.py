"""The first program in every sandbox: tries to get out by each way that is barred, and says which ones were open.

It is text to `sandbox.py`, like the programs it goes before. What is outside (a file, a port) comes on stdin.
"""

import ctypes
import json
import os
import platform
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NEW_USER = 0x10000000
CLONE = {"x86_64": 56, "aarch64": 220}


def worked(attempt: Callable[[], Any]) -> bool:
    try:
        attempt()
    except (OSError, MemoryError):
        return False
    return True


def write(place: str, size: int = 1) -> None:
    with Path(place).open("wb") as file:
        for _ in range(0, size, 2**16):
            file.write(bytes(min(size, 2**16)))


def more_processes_than(limit: int) -> bool:
    """Forks at most two more than are allowed; they wait until this process closes its end."""
    readable, writable = os.pipe()
    children = []
    for _ in range(limit + 2):
        try:
            child = os.fork()
        except OSError:
            break
        if child == 0:
            os.close(writable)
            os.read(readable, 1)
            os._exit(0)
        children.append(child)
    os.close(writable)
    for child in children:
        os.waitpid(child, 0)
    return len(children) >= limit


def cloned(libc: ctypes.CDLL) -> bool:
    """Whether a child in a user namespace of its own can be had."""
    child = libc.syscall(CLONE[platform.machine()], NEW_USER | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    return bool(child > 0)


def leaks(known: dict[str, Any]) -> list[str]:
    libc = ctypes.CDLL(None)
    ways = {f"{name} can be seen": lambda name=name: Path(name).stat() for name in known["files"]} | {
        "a port of the machine answers": lambda: socket.create_connection(("127.0.0.1", known["port"]), 1),
        "a network can be reached": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(
            ("192.0.2.1", 9)
        ),
        "the machine's host can be reached": lambda: socket.socket(socket.AF_VSOCK),
        "memory of no process can be had": lambda: os.memfd_create("memory"),
        "the root folder can be written": lambda: write("/written"),
        "a folder outside can be written": lambda: write(f"{known['folder']}/written"),
        "Python can be written": lambda: write(f"{os.path.dirname(os.__file__)}/written.py"),  # noqa: PTH120
        "files have no limit": lambda: write("large", known["file_size"] + 2**20),
        "memory has no limit": lambda: bytearray(known["memory"]),
    }
    found = [name for name, attempt in ways.items() if worked(attempt)]
    if surplus := set(os.listdir("/")) - set(known["top"]):  # noqa: PTH208  names are what is wanted
        found.append(f"/{', /'.join(sorted(surplus))} can be seen")
    if (os.getppid(), os.getpid()) != (1, 2):
        found.append("processes outside can be seen")
    if libc.shmget(0, 4096, 0o1600) != -1:
        found.append("memory can be shared")
    if libc.unshare(NEW_USER) == 0 or cloned(libc):
        found.append("namespaces can be made")
    if os.getuid() == 0:
        found.append("the program is root")
    if more_processes_than(known["processes"]):
        found.append("processes have no limit")
    return found


if __name__ == "__main__":
    signal.alarm(15)
    json.dump({"leaks": leaks(json.load(sys.stdin)), "python": platform.python_version()}, sys.stdout)
