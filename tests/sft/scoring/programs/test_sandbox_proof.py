"""No sandbox, no run: what is refused, what the proof finds, and what the filter of system calls lets through."""

import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import EngineError
from sft.scoring.programs import sandbox, syscalls
from sft.scoring.programs.sandbox import run
from sft.scoring.programs.syscalls import MACHINES
from tests.sft.scoring.programs.sandboxed import ALLOW_ALL, needs_sandbox


@pytest.fixture
def unproven() -> Iterator[None]:
    """The proof is made anew in this test, and in the next."""
    sandbox.prove.cache_clear()
    yield
    sandbox.prove.cache_clear()


def test_nothing_is_run_where_the_kernel_lists_no_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unproven: None
) -> None:
    monkeypatch.setattr(sandbox, "CHILDREN", str(tmp_path / "children"))
    with pytest.raises(EngineError, match=r"CONFIG_PROC_CHILDREN.*code is not scored"):
        run("print(1)")


def test_nothing_is_run_without_bubblewrap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unproven: None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        EngineError, match=r"bwrap, which is not on the PATH; install bubblewrap .* Nothing was run"
    ):
        run("print(1)")


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ("echo 'bwrap: No permissions to create new namespace' >&2; exit 1", "No permissions to create new"),
        ("exit 0", "no output"),
        ('echo \'{"leaks": [], "python": "3"}\'', "no output"),
    ],
)
def test_nothing_is_run_where_namespaces_are_refused(
    monkeypatch: pytest.MonkeyPatch, unproven: None, says: str, message: str
) -> None:
    monkeypatch.setattr(sandbox, "bubblewrap", lambda: "/bin/sh")
    monkeypatch.setattr(sandbox, "bwrap_arguments", lambda *_: ["-c", says])
    with pytest.raises(EngineError, match=message):
        run("print(1)")


def instead(**options: list[str]) -> Callable[..., list[str]]:
    real = sandbox.bwrap_arguments
    return lambda *given: [
        new for word in real(*given) for new in options.get(word.strip("-").replace("-", "_"), [word])
    ]


@needs_sandbox
@pytest.mark.parametrize(
    ("hole", "leak"),
    [
        (
            lambda: instead(
                unshare_all=["--unshare-user", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
            ),
            "outside processes are visible",
        ),
        (
            lambda: instead(clearenv=["--clearenv", "--ro-bind", "/etc", "/etc"]),
            "/etc/passwd is visible, /etc is visible",
        ),
        (lambda: instead(clearenv=["--clearenv", "--proc", "/proc"]), "/proc is visible"),
    ],
)
def test_the_proof_finds_a_hole(
    monkeypatch: pytest.MonkeyPatch, unproven: None, hole: Any, leak: str
) -> None:
    monkeypatch.setattr(sandbox, "bwrap_arguments", hole())
    with pytest.raises(EngineError, match=f"isolation check failed: .*{leak}.*; code is not scored"):
        run("print(1)")


@needs_sandbox
def test_the_proof_finds_an_open_network(monkeypatch: pytest.MonkeyPatch, unproven: None) -> None:
    monkeypatch.setattr(sandbox, "refusals", lambda: ALLOW_ALL)
    net = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    monkeypatch.setattr(sandbox, "bwrap_arguments", instead(unshare_all=net))
    with pytest.raises(EngineError, match=r"a local port is reachable.* namespaces can be created"):
        run("print(1)")


@needs_sandbox
@pytest.mark.parametrize(
    ("limit", "leak"),
    [
        ("RLIMIT_NPROC", "the number of processes is not limited"),
        ("RLIMIT_AS", r"memory is not limited|did not finish \(memory"),
        ("RLIMIT_FSIZE", None),
    ],
)
def test_the_proof_finds_a_missing_limit(
    monkeypatch: pytest.MonkeyPatch, unproven: None, limit: str, leak: str | None
) -> None:
    real = sandbox.rlimits
    monkeypatch.setattr(
        sandbox, "rlimits", lambda given: {k: v for k, v in real(given).items() if k != limit}
    )
    if leak is None:
        sandbox.prove()  # the scratch folder's size holds as well
        return
    with pytest.raises(EngineError, match=leak):
        run("print(1)")


def answer_of(program: bytes, audit: int, number: int, flags: int = 0) -> int:
    """What a filter says to a system call; runs it as the kernel would."""
    data = {syscalls.NUMBER: number, syscalls.ARCHITECTURE: audit, syscalls.FLAGS: flags}
    lines = list(struct.iter_unpack("=HBBI", program))
    place = loaded = 0
    while True:
        code, yes, no, value = lines[place]
        place += 1
        if code == syscalls.RETURN:
            return int(value)
        if code == syscalls.LOAD:
            loaded = data[value]
            continue
        tests = {
            syscalls.EQUAL: loaded == value,
            syscalls.AT_LEAST: loaded >= value,
            syscalls.ANY_OF: loaded & value,
        }
        place += yes if tests[code] else no


@pytest.mark.parametrize("name", MACHINES)
def test_the_filter_refuses_what_it_names_and_nothing_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls.platform, "machine", lambda: name)
    program, machine = syscalls.refusals(), MACHINES[name]
    assert len(machine.numbers) == len(set(machine.numbers)) == len(syscalls.REFUSED)
    refused = {n for n in range(500) if answer_of(program, machine.audit, n) != syscalls.ALLOW}
    assert refused == {*machine.numbers, syscalls.CLONE3}
    assert answer_of(program, machine.audit, syscalls.CLONE3) == syscalls.UNKNOWN
    assert answer_of(program, machine.audit, machine.clone, signal.SIGCHLD) == syscalls.ALLOW
    assert answer_of(program, machine.audit, machine.clone, 0x10000000 | signal.SIGCHLD) == syscalls.REFUSE
    assert answer_of(program, machine.audit, syscalls.X32 + 1) == syscalls.REFUSE
    assert answer_of(program, 0x40000003, 1) == syscalls.KILL


def test_machines_that_the_filter_was_not_written_for_get_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls.platform, "machine", lambda: "riscv64")
    with pytest.raises(EngineError, match="code can be scored only on x86_64 and aarch64, not on riscv64"):
        syscalls.refusals()
