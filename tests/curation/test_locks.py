"""Waiting for a lock: who holds it, since when, and no option of its command, which may be a secret."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from curation import locks
from curation.corpus.store import Store

HOLD = """
import sys
from pathlib import Path
from curation.corpus.store import Store
sys.argv = ["/usr/bin/curate", "review", "push", "--api-key", "s3cret"]
with Store(Path({root!r})).writing("annotations"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(corpus: Store) -> "subprocess.Popen[str]":
    """Another process that holds a lock until its stdin ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(root=str(corpus.root))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout and child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()


def test_a_wait_says_for_whom_since_when_and_ends_with_the_other(
    corpus: Store, other: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(locks, "QUIET_SECONDS", 0.0)

    def note(message: str) -> None:
        said.append(message)
        other.communicate()  # ends its stdin, and with it the hold

    monkeypatch.setattr(locks.console, "say", note)
    with corpus.writing("annotations"):
        pass
    (line,) = said
    assert f"`curate review push` (pid {other.pid}), which holds it since " in line
    assert "the table annotations" in line and "s3cret" not in line and "Ctrl-C" in line


def test_a_wait_is_told_again_every_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(locks, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(locks.console, "LINE_SECONDS", 0.05)
    first = locks.take(tmp_path / "lock", "it")

    def note(message: str) -> None:
        said.append(message)
        if len(said) == 3:
            first.close()

    monkeypatch.setattr(locks.console, "say", note)
    done: list[bool] = []
    waiter = threading.Thread(target=lambda: done.append(not locks.take(tmp_path / "lock", "it").close()))
    waiter.start()
    waiter.join(30)
    assert done == [True] and len(said) == 3


def test_what_a_killed_holder_left_does_not_hold(corpus: Store, other: "subprocess.Popen[str]") -> None:
    other.kill()
    other.wait()
    with corpus.writing("annotations"):
        left = json.loads((corpus.root / ".locks" / "annotations").read_text())
    assert left["pid"] != other.pid


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "null"])
def test_a_file_that_says_nothing_is_another_process(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    assert locks.holder(tmp_path / "lock") == "another process"


def test_a_shared_lock_is_held_by_several_and_keeps_out_who_wants_it_alone(tmp_path: Path) -> None:
    first, second = (locks.take(tmp_path / "lock", "it", shared=True) for _ in range(2))
    first.close()
    with pytest.raises(BlockingIOError):
        locks.take(tmp_path / "lock", "it", wait=False)
    second.close()
    alone = locks.take(tmp_path / "lock", "it", wait=False)
    with pytest.raises(BlockingIOError):
        locks.take(tmp_path / "lock", "it", wait=False, shared=True)
    alone.close()


def test_what_removes_rows_waits_for_an_ingest_and_ingests_do_not_wait_for_each_other(
    corpus: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(locks, "QUIET_SECONDS", 0.0)
    with corpus.alone("ingest", shared=True):
        ours = corpus.alone("ingest", shared=True)
        ours.__enter__()

        def note(message: str) -> None:
            said.append(message)
            ours.__exit__(None, None, None)

        monkeypatch.setattr(locks.console, "say", note)
    with corpus.alone("dedup", "ingest"):
        pass
    (line,) = said
    assert line.startswith("waiting for another ingest of ")


def test_of_several_who_share_a_lock_none_is_named_who_was_killed(tmp_path: Path) -> None:
    with locks.take(tmp_path / "lock", "it", shared=True):
        dead = subprocess.Popen(["true"])
        dead.wait()
        told = locks.Holder(dead.pid, socket.gethostname(), "curate ingest", 0.0)
        (tmp_path / "lock").write_text(json.dumps(told._asdict()))
        assert locks.holder(tmp_path / "lock") == "another process"
        elsewhere = told._replace(host="elsewhere")
        (tmp_path / "lock").write_text(json.dumps(elsewhere._asdict()))
        assert "on elsewhere" in locks.holder(tmp_path / "lock")
