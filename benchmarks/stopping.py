"""Ctrl-C: how long each long command goes on after it, in the middle of its work and while it waits.

SIGINT goes to the whole group of processes, as from a terminal. What counts is the processor time that all of them use afterwards, which does not
depend on what else the machine does; the wall time is told beside it.

    python -m benchmarks stopping               # five times each; STOPS=20 for more
"""

import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.ingest import write_rows

STOPS = int(os.environ.get("STOPS", "5"))
ROWS = 120_000
AT_WORK = 3.0
"""Processor seconds after which a command is in the middle of its work; a start takes less than one."""
WAITS = 2.0
"""Seconds with hardly any work after which a command waits."""
LOOK = 0.05
"""Seconds between two looks at what it does."""
STARTED = 0.5
"""Processor seconds from which on a command works; before that it starts."""
PATIENCE = 60.0
TICKS = os.sysconf("SC_CLK_TCK")
ENDLESS = "exists (select 1 from traces a, traces b, traces c, traces d where md5(a.trace_id || b.trace_id || c.trace_id || d.trace_id) = 'x')"
"""A condition that takes years."""


class Stopped(NamedTuple):
    """What a command did after Ctrl-C."""

    cpu: float
    """Processor seconds."""
    wall: float
    code: int
    said: str
    """On stderr."""


COMMANDS: dict[str, tuple[str, ...]] = {
    "sql": ("sql", f"select trace_id from traces where {ENDLESS}", "--corpus", "few"),
    "plan": ("plan", "endless.yaml", "--corpus", "few"),
    "build-mix": ("build-mix", "endless.yaml", "--corpus", "few", "--out", "mix"),
    "generate, choosing prompts": ("generate", "--where", ENDLESS, "--model", "m", "--base-url", "http://127.0.0.1:9/v1", "--corpus", "few"),
    "generate, a server that is silent": ("generate", "--model", "m", "--base-url", "{silent}", "--corpus", "few"),
    "ingest": ("ingest", "big.jsonl", "--kind", "harmful", "--corpus", "new"),
    "ingest, a locked corpus": ("ingest", "few.jsonl", "--kind", "harmful", "--corpus", "locked"),
    "annotate, rules": ("annotate", "--annotators", "rules", "--corpus", "big"),
    "annotate, a judge that is silent": ("annotate", "--annotators", "judge", "--model", "m", "--base-url", "{silent}", "--corpus", "few"),
    "dedup": ("dedup", "--corpus", "big"),
    "decontaminate": ("decontaminate", "--against", "own=asked.jsonl:problem", "--corpus", "big"),
    "check": ("check", "big"),
    "view, making its index": ("view", "--port", "0", "--corpus", "big"),
    "view, open": ("view", "--port", "0", "--corpus", "few"),
}  # fmt: skip


@contextmanager
def prepared(folder: Path, rows: int = ROWS) -> Iterator[dict[str, tuple[str, ...]]]:
    """Corpora large and small, one of them locked, and a server that never answers; gives the command lines."""
    from curation.corpus.store import Store

    write_rows(folder / "big.jsonl", rows)
    write_rows(folder / "few.jsonl", 300, seed=1)
    write_rows(folder / "questions.jsonl", 2_000, seed=2)
    asked = [json.loads(text)["prompt"] for text in (folder / "questions.jsonl").read_text().splitlines()]
    (folder / "asked.jsonl").write_text("".join(json.dumps({"problem": text}) + "\n" for text in asked))
    (folder / "endless.yaml").write_text(json.dumps({"name": "x", "parts": {"a": {"where": ENDLESS}}}))
    for name in ("big", "few", "locked"):
        file = "big.jsonl" if name == "big" else "few.jsonl"
        done = curate(folder, "ingest", file, "--kind", "harmful", "--corpus", name).communicate()
        assert "kept" in done[1], done
    silent = socket.create_server(("127.0.0.1", 0), backlog=64)
    address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
    with silent, Store(folder / "locked").writing("traces", "prompts"):
        yield {
            name: tuple(word.format(silent=address) if word == "{silent}" else word for word in words)
            for name, words in COMMANDS.items()
        }


def curate(folder: Path, *words: str) -> "subprocess.Popen[str]":
    """Start a command in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "curation", *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip


class Ended(Exception):
    """A command was done before it could be stopped."""


def stop(folder: Path, words: Sequence[str], at_work: float = AT_WORK) -> Stopped:
    """Start a command, wait until it is in the middle of its work or waits for something, and press Ctrl-C.

    A command that is done before that is tried again and stopped earlier: how much work it is depends on the machine.

    Raises:
        Ended: if it is done before it could be stopped at all.
        TimeoutExpired: if it does not stop in a minute.
    """
    while True:
        try:
            return _stop(fresh(folder), words, at_work)
        except Ended:
            if at_work <= STARTED:
                raise
            at_work = max(STARTED, at_work * 0.7)


def _stop(folder: Path, words: Sequence[str], at_work: float) -> Stopped:
    before = _reaped()
    process = curate(folder, *words)
    try:
        used = _busy_or_waiting(process, at_work)
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=PATIENCE)[1]
        wall = time.monotonic() - began
        _no_process_left(process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode == -signal.SIGINT and "Traceback" not in said:  # Python was on its way out already
        raise Ended(said)
    return Stopped(max(0.0, _reaped() - before - used), wall, process.returncode, said)


def _no_process_left(session: int) -> None:
    """Python's own helper process of a pool ends a moment after it."""
    end = time.monotonic() + PATIENCE
    while left := [pid for pid, _ in _members(session)]:
        assert time.monotonic() < end, f"processes are left: {left}"
        time.sleep(0.1)


def _busy_or_waiting(process: "subprocess.Popen[str]", at_work: float) -> float:
    """Wait until a command has worked so many processor seconds, or stands still; returns how many it used.

    One that waits still draws its line of progress now and then.
    """
    looks: deque[bool] = deque(maxlen=round(WAITS / LOOK))
    while True:
        if process.poll() is not None:
            raise Ended(process.communicate()[1])
        members = dict(_members(process.pid))
        used = sum(members.values())
        looks.append(any(map(_runnable, members)))
        waits = len(looks) == looks.maxlen and sum(looks) <= len(looks) / 4
        if used >= at_work or waits:
            return used
        time.sleep(LOOK)


def _runnable(pid: int) -> bool:
    """Whether a thread of a process works, waits for a processor or for the disk."""
    states = []
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):
            states.append(path.read_text().rsplit(") ", 1)[1][0])
    return any(state in "RD" for state in states)


def _members(session: int) -> Iterator[tuple[int, float]]:
    """The processes that a command has now, with the processor seconds of each."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(") ", 1)[1].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            yield int(path.parent.name), (int(fields[11]) + int(fields[12])) / TICKS


def _reaped() -> float:
    """Processor seconds of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Stop each command some times, and print the most of each figure."""
    with tempfile.TemporaryDirectory() as scratch, prepared(Path(scratch)) as commands:
        for name, words in commands.items():
            found = [stop(Path(scratch), words, AT_WORK * (1 + n / STOPS)) for n in range(STOPS)]
            cpu, wall = ([getattr(one, figure) for one in found] for figure in ("cpu", "wall"))
            codes = sorted({one.code for one in found})
            print(
                f"{name}: {statistics.median(cpu):.2f} CPU-s, at most {max(cpu):.2f}; {statistics.median(wall):.1f} s, "
                f"at most {max(wall):.1f}; exit code {codes}; {found[-1].said.strip().splitlines()[-1:]}",
                flush=True,
            )


def fresh(folder: Path) -> Path:
    """The folder without what an earlier stop left."""
    for name in (
        "new",
        "mix",
        *(f"big/{table}" for table in (".index", "annotations", "clusters", "contamination", "manifests")),
    ):
        shutil.rmtree(folder / name, ignore_errors=True)
    return folder
