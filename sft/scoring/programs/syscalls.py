"""The seccomp filter of the sandbox: system calls that programs are denied, as bubblewrap passes it to the kernel.

Namespaces have gaps: a virtual machine's socket (vsock) reaches its host through all of them, and unmapped shared memory and
extended attributes of files in memory count towards no process's limit.
"""

import platform
import struct
from typing import NamedTuple

from schemas.errors import EngineError


class Machine(NamedTuple):
    """The kernel's id of an architecture, and its numbers of clone and of REFUSED."""

    audit: int
    clone: int
    numbers: tuple[int, ...]


REFUSED = (
    "socket", "shmget", "msgget", "semget", "mq_open", "memfd_create", "memfd_secret", "ptrace", "process_vm_readv",
    "process_vm_writev", "add_key", "request_key", "keyctl", "unshare", "setns", "perf_event_open", "bpf", "userfaultfd",
    "io_uring_setup", "setxattr", "lsetxattr", "fsetxattr", "setxattrat",
)  # fmt: skip
MACHINES = {
    "x86_64": Machine(
        0xC000003E, 56, (41, 29, 68, 64, 240, 319, 447, 101, 310, 311, 248, 249, 250, 272, 308, 298, 321, 323, 425, 188, 189, 190, 463)
    ),
    "aarch64": Machine(
        0xC00000B7, 220, (198, 194, 186, 190, 180, 279, 447, 117, 270, 271, 217, 218, 219, 97, 268, 241, 280, 282, 425, 5, 6, 7, 463)
    ),
}  # fmt: skip
"""Source: Linux, unistd_64.h and asm-generic/unistd.h."""
X32 = 0x40000000
"""x32 system calls: the same calls again under other numbers, from this one up."""
CLONE3 = 435
"""Its flags are invisible to filters; without it, libraries fall back to clone."""
NAMESPACES = 0x7E020000
"""Flags of clone that create namespaces, in which a program would be root."""
LOAD, EQUAL, AT_LEAST, ANY_OF, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FLAGS = 0, 4, 16
"""Offsets in struct seccomp_data; clone's flags are its first argument."""
KILL, REFUSE, UNKNOWN, ALLOW = 0x80000000, 0x00050001, 0x00050026, 0x7FFF0000
"""Denied calls return EPERM, unknown ones ENOSYS."""


def refusals() -> bytes:
    """The filter for this machine, as an array of struct sock_filter.

    Raises:
        EngineError: on an unsupported architecture.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise EngineError(f"code can be scored only on {' and '.join(MACHINES)}, not on {platform.machine()}")
    # the two middle numbers are the jump offsets if the test is true, and if false
    end = [
        (EQUAL, 5, 0, CLONE3), (EQUAL, 0, 2, machine.clone), (LOAD, 0, 0, FLAGS), (ANY_OF, 1, 0, NAMESPACES),
        (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, UNKNOWN),
    ]  # fmt: skip
    refuse, count = end.index((RETURN, 0, 0, REFUSE)), len(machine.numbers)
    lines = [
        (LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, machine.audit), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER),
        (AT_LEAST, count + refuse, 0, X32),
        *((EQUAL, count - place - 1 + refuse, 0, number) for place, number in enumerate(machine.numbers)),
    ]  # fmt: skip
    return b"".join(struct.pack("=HBBI", *line) for line in lines + end)
