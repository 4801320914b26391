"""The isolation check: tries to escape the sandbox by every blocked way, and reports which ones worked.

`sandbox.py` runs it before any other program. What exists outside (a file, a port) comes on stdin.
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


def attribute(place: str) -> None:
    write(place)
    os.setxattr(place, "user.x", bytes(1000))


def more_processes_than(limit: int) -> bool:
    """Forks at most two more than allowed; they wait until this process closes its end."""
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
    """Whether a child in its own user namespace can be created."""
    child = libc.syscall(CLONE[platform.machine()], NEW_USER | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    return bool(child > 0)


def leaks(known: dict[str, Any]) -> list[str]:
    libc = ctypes.CDLL(None)
    ways = {f"{name} is visible": lambda name=name: Path(name).stat() for name in known["files"]} | {
        "a local port is reachable": lambda: socket.create_connection(("127.0.0.1", known["port"]), 1),
        "a network is reachable": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(
            ("192.0.2.1", 9)
        ),
        "the virtual machine's host is reachable": lambda: socket.socket(socket.AF_VSOCK),
        "unaccounted memory can be allocated": lambda: os.memfd_create("memory"),
        "attributes of files can hold memory": lambda: attribute("attributes"),
        "the root folder is writable": lambda: write("/written"),
        "a folder outside is writable": lambda: write(f"{known['folder']}/written"),
        "Python is writable": lambda: write(f"{os.path.dirname(os.__file__)}/written.py"),  # noqa: PTH120
        "file size is not limited": lambda: write("large", known["file_size"] + 2**20),
        "memory is not limited": lambda: bytearray(known["memory"]),
    }
    breaches = [name for name, attempt in ways.items() if worked(attempt)]
    if surplus := set(os.listdir("/")) - set(known["top"]):  # noqa: PTH208  names are what is wanted
        breaches.append(f"/{', /'.join(sorted(surplus))} is visible")
    if (os.getppid(), os.getpid()) != (1, 2):
        breaches.append("outside processes are visible")
    if libc.shmget(0, 4096, 0o1600) != -1:
        breaches.append("memory can be shared")
    if libc.unshare(NEW_USER) == 0 or cloned(libc):
        breaches.append("namespaces can be created")
    if os.getuid() == 0:
        breaches.append("the program is root")
    if more_processes_than(known["processes"]):
        breaches.append("the number of processes is not limited")
    return breaches


if __name__ == "__main__":
    signal.alarm(15)
    json.dump({"leaks": leaks(json.load(sys.stdin)), "python": platform.python_version()}, sys.stdout)
