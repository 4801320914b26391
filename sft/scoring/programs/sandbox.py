"""Runs model-written programs in isolation: bubblewrap, with limits, a new sandbox for each run.

It fails closed: no program is run before a probe has tried to escape this sandbox and failed. As root, the sandbox runs as
the user nobody, because the kernel does not apply process limits to root.
"""

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

from schemas.errors import EngineError
from sft.scoring.programs.interpreter import NOBODY, Python, packages, python
from sft.scoring.programs.runner import READY
from sft.scoring.programs.syscalls import refusals

MIB = 2**20
ERROR_TAIL = 4096
"""Bytes of stderr that are kept, from the end."""
INSIDE = ("tmp", "dev", "program.py", "runner.py")
"""The sandbox's root folder besides Python and the system's libraries."""
CHILDREN = "/proc/thread-self/children"
"""The kernel's list of a thread's child processes, needed to sum their memory."""
SCRATCH = "/tmp"  # noqa: S108  the sandbox's own
ENVIRONMENT = {
    "PATH": "/usr/bin", "HOME": SCRATCH, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1",
}  # fmt: skip
"""The complete environment. A fixed hash seed makes programs deterministic."""
HOW = "install bubblewrap 0.7 or newer (Debian, Ubuntu: apt-get install bubblewrap) where user namespaces are allowed"
Ending = Literal["ended", "time limit", "memory", "output limit", "runtime error"]


class Limits(NamedTuple):
    """Resource limits of one run."""

    cpu_seconds: int = 6
    """LiveCodeBench's time limit, but in CPU time, so that a busy machine fails no program."""
    wall_seconds: float = 20
    memory: int = 2048 * MIB
    """Bytes of address space per process, and of memory of all processes."""
    processes: int = 16
    """Processes and threads, including two of the sandbox itself."""
    file_size: int = 16 * MIB
    """Bytes of a file, and of the scratch folder."""
    output: int = 16 * MIB
    """Bytes of stdout."""
    entries: int = 10_000
    """Files and folders in the scratch folder: the kernel keeps half a kilobyte or more of each, beside the folder's size."""


class ProgramRun(NamedTuple):
    """The result of a run."""

    ending: Ending
    output: str
    error: str
    """The last line on stderr, or the signal."""
    seconds: float
    """Wall time, including the sandbox's start."""


def run(program: str, stdin: str = "", limits: Limits | None = None, fn_name: str = "") -> ProgramRun:
    """Run a Python program in a new sandbox; the first call checks the isolation.

    Args:
        program: its source.
        stdin: its input; for a function one JSON value per argument and line.
        limits: resource limits.
        fn_name: a function, or a method of the class Solution, to call instead; its result is the output, as JSON.

    Raises:
        EngineError: if there is no sandbox, or the isolation check failed; nothing was run then.
    """
    prove()
    return _run(python(), program, stdin, limits or Limits(), fn_name)


@cache
def prove() -> str:
    """Check the isolation, once per process; returns the version of Python in the sandbox.

    Raises:
        EngineError: naming what is missing, or what is not isolated.
    """
    if not Path(CHILDREN).is_file():
        raise EngineError(
            f"cannot limit the memory of a program's processes: the kernel has no {CHILDREN} (CONFIG_PROC_CHILDREN); "
            "code is not scored. Use another kernel, or mount /proc"
        )
    interpreter = python()
    with tempfile.TemporaryDirectory() as outside, socket.create_server(("127.0.0.1", 0)) as server:
        Path(outside).chmod(0o777)
        canary = Path(outside, "canary")
        canary.write_text("outside", encoding="utf-8")
        limits = Limits(memory=256 * MIB)
        known = {
            "files": [str(canary), str(Path(__file__)), "/etc/passwd", "/proc/self", "/sys"],
            "top": sorted(
                {*INSIDE, *(place.parts[1] for place in (interpreter.executable, *interpreter.libraries))}
            ),
            "folder": outside,
            "port": server.getsockname()[1],
            **limits._asdict(),
        }
        probe = files("sft.scoring.programs").joinpath("probe.py").read_text(encoding="utf-8")
        ran = _run(interpreter, probe, json.dumps(known), limits, "")
        if sorted(Path(outside).iterdir()) != [canary]:
            raise EngineError(f"isolation check failed: a program wrote to {outside}; code is not scored")
    try:
        report = json.loads(ran.output)
    except ValueError:
        raise EngineError(
            f"isolation check did not finish ({ran.ending}: {ran.error}); code is not scored. {HOW}"
        ) from None
    if report["leaks"]:
        raise EngineError(f"isolation check failed: {', '.join(report['leaks'])}; code is not scored. {HOW}")
    return str(report["python"])


def bubblewrap() -> str:
    """Where the sandbox's program is.

    Raises:
        EngineError: if it is not installed.
    """
    path = shutil.which("bwrap")
    if path is None:
        raise EngineError(f"scoring code needs bwrap, which is not on the PATH; {HOW}. Nothing was run")
    return path


def bwrap_arguments(inside: Python, size: int) -> list[str]:
    """What one run of a Python program may see: its libraries read-only, a small /tmp, no network, no other process."""
    # no /proc, no /sys, no shell; only /dev/null, because bubblewrap's own /dev has an unlimited /dev/shm
    listed = ["--unshare-all", "--unshare-user", "--cap-drop", "ALL", "--die-with-parent", "--new-session"]  # fmt: skip
    listed += ["--hostname", "sandbox", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        listed += ["--setenv", name, value]
    for folder in inside.libraries:
        if folder.is_symlink():
            listed += ["--symlink", str(folder.readlink()), str(folder)]
        else:
            listed += ["--ro-bind", str(folder), str(folder)]
    # programs get only the standard library, on every machine
    for folder in packages(inside):
        listed += ["--size", "4096", "--tmpfs", str(folder), "--remount-ro", str(folder)]
    listed += ["--ro-bind", str(inside.executable), str(inside.executable)]
    listed += ["--dev-bind", "/dev/null", "/dev/null"]
    return [*listed, "--size", str(size), "--tmpfs", SCRATCH, "--chdir", SCRATCH]


def _run(inside: Python, program: str, stdin: str, limits: Limits, fn_name: str) -> ProgramRun:
    start = time.monotonic()
    with _start(inside, program, stdin, limits, fn_name) as process:
        try:
            stopped, output, error = _listen(process, start + limits.wall_seconds, limits)
        finally:
            process.kill()  # the namespace and all its processes end with it
    seconds = time.monotonic() - start
    if not error.startswith(READY):
        raise EngineError(
            f"cannot start the sandbox: {_last_line(error) or stopped or 'no output'}; {HOW}. Nothing was run"
        )
    if process.returncode == 128 + signal.SIGKILL and seconds > limits.cpu_seconds:
        stopped = stopped or "time limit"  # a program that ignored SIGXCPU
    return _ran(process.returncode, stopped, output, _last_line(error[len(READY) :]), seconds)


def _start(inside: Python, program: str, stdin: str, limits: Limits, fn_name: str) -> subprocess.Popen[bytes]:
    runner = files("sft.scoring.programs").joinpath("runner.py").read_text(encoding="utf-8")
    given = [_sealed(content) for content in (runner, program, refusals(), stdin)]
    command = [bubblewrap(), *bwrap_arguments(inside, limits.file_size), "--seccomp", str(given[2])]
    command += ["--ro-bind-data", str(given[0]), "/runner.py", "--ro-bind-data", str(given[1]), "/program.py"]
    # the last mount: the root folder is also in memory, and unlimited
    command += ["--remount-ro", "/", str(inside.executable), "/runner.py"]
    command += [json.dumps(rlimits(limits)), fn_name]
    as_nobody: dict[str, Any] = {} if os.geteuid() else {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    try:
        return subprocess.Popen(
            command, stdin=given[3], stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=given[:3], env={},
            cwd="/", **as_nobody,
        )  # fmt: skip
    except OSError as fault:
        whose = "you" if os.geteuid() else "the user nobody, which root must become for it"
        raise EngineError(
            f"cannot start the sandbox as {whose}: {fault.strerror}; {HOW}. Nothing was run"
        ) from fault
    finally:
        for handle in given:
            os.close(handle)


def _sealed(content: str | bytes) -> int:
    """A sealed, anonymous file in memory."""
    import fcntl

    handle = os.memfd_create("sandbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    data = memoryview(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    while data:
        data = data[os.write(handle, data) :]
    os.lseek(handle, 0, os.SEEK_SET)
    fcntl.fcntl(handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)  # fmt: skip
    return handle


def rlimits(limits: Limits) -> dict[str, tuple[int, int]]:
    """The kernel\'s limits of the process inside, soft and hard."""
    # a second between soft and hard limit, to tell SIGXCPU from a kill
    return {
        "RLIMIT_CPU": (limits.cpu_seconds, limits.cpu_seconds + 1),
        "RLIMIT_AS": (limits.memory, limits.memory),
        "RLIMIT_STACK": (64 * MIB, 64 * MIB),
        "RLIMIT_NPROC": (limits.processes, limits.processes),
        "RLIMIT_FSIZE": (limits.file_size, limits.file_size),
        "RLIMIT_NOFILE": (64, 64),
        "RLIMIT_CORE": (0, 0),
    }


def _listen(
    process: subprocess.Popen[bytes], deadline: float, limits: Limits
) -> tuple[Ending | None, bytes, bytes]:
    """Read until both pipes close, which is when every process inside has ended; returns why it stopped earlier."""
    output, error = bytearray(), bytearray()
    with selectors.DefaultSelector() as both:
        both.register(process.stdout, selectors.EVENT_READ, output)  # type: ignore[arg-type]
        both.register(process.stderr, selectors.EVENT_READ, error)  # type: ignore[arg-type]
        while both.get_map():
            if time.monotonic() > deadline:
                return "time limit", bytes(output), bytes(error)
            for key, _ in both.select(0.1):
                data = os.read(key.fd, 65536)
                key.data.extend(data)
                if not data:
                    both.unregister(key.fileobj)
            if memory_of(process.pid) > limits.memory or (
                error.startswith(READY) and files_of(process.pid) > limits.entries
            ):
                return "memory", bytes(output), bytes(error)
            if len(output) > limits.output:
                return "output limit", bytes(output), bytes(error)
            if len(error) > 4 * ERROR_TAIL:
                del error[len(READY) : -ERROR_TAIL]
    return None, bytes(output), bytes(error)


def memory_of(pid: int) -> int:
    """Resident bytes of a process and its descendants: a limit per process would allow a multiple of it."""
    pages, below = 0, list[str]()
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0  # it has ended
    for thread in threads:
        with suppress(OSError):  # this thread has ended; the others still count
            # threads share memory, and a child belongs to the thread that created it
            pages = max(pages, int((thread / "statm").read_text(encoding="ascii").split()[1]))
            below += (thread / "children").read_text(encoding="ascii").split()
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(memory_of(int(child)) for child in below)


def files_of(pid: int) -> int:
    """Files and folders in the scratch folder of a running sandbox; 0 if it has ended."""
    with suppress(OSError, IndexError, ValueError):
        inside = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0]
        scratch = f"/proc/{inside}/root{SCRATCH}"
        if Path(scratch).stat().st_dev != Path(SCRATCH).stat().st_dev:
            place = os.statvfs(scratch)
            return place.f_files - place.f_ffree
    return 0


def _ran(code: int, stopped: Ending | None, output: bytes, error: str, seconds: float) -> ProgramRun:
    ending: Ending = "ended" if code == 0 else "runtime error"
    if code > 128:
        # bubblewrap reports a signal as 128 + n, like a shell
        name = (
            signal.Signals(code - 128).name if code - 128 in set(signal.Signals) else f"signal {code - 128}"
        )
        ending, error = ("time limit" if name == "SIGXCPU" else ending), name
    elif code and error.startswith("MemoryError"):
        ending = "memory"
    return ProgramRun(stopped or ending, output.decode("utf-8", "replace"), "" if stopped else error, seconds)


def _last_line(error: bytes) -> str:
    lines = error.decode("utf-8", "replace").strip().splitlines() or [""]
    return "".join(letter for letter in lines[-1] if letter.isprintable())[:200]
