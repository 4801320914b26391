"""Ctrl-C and SIGTERM: the command says how far it was and what is kept, and the next one goes on from there."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curation.cli import main
from curation.corpus.store import Store

ROOT = Path(__file__).resolve().parents[3]
SLOW = """
import time
from pathlib import Path
from schemas import Annotation
from annotators.base import Annotator

def annotate(traces):
    for trace in traces:
        time.sleep(0.02)
        Path("seen").open("a").write(trace.trace_id + "\\n")
        yield Annotation(trace_id=trace.trace_id, pattern="unsafe", annotator="slow@1", label=False)

def slow():
    return Annotator("slow@1", ("unsafe",), annotate)
"""


def curate(*words: str, cwd: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "curation", *words], cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "stopped"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_stopped_command_keeps_what_it_did_and_the_same_command_goes_on(
    tmp_path: Path, number: signal.Signals, code: int, word: str
) -> None:
    (tmp_path / "mine.py").write_text(SLOW)
    rows = [{"prompt": f"Q{n}?", "reasoning": "Hm.", "answer": "No.", "kind": "harmful"} for n in range(120)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert curate("ingest", "t.jsonl", cwd=tmp_path).wait() == 0
    running = curate("annotate", "--annotators", "mine:slow", cwd=tmp_path)
    seen = tmp_path / "seen"
    while not seen.exists() or len(seen.read_text().splitlines()) < 40:
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(number)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == code, said
    assert f"{word}: annotate slow@1: " in said and "/120 traces" in said and "Traceback" not in said
    assert "what was annotated is saved; the same command goes on with the rest" in said
    judged = len(seen.read_text().splitlines())
    again = curate("annotate", "--annotators", "mine:slow", cwd=tmp_path)
    assert "120 kept" in again.communicate(timeout=60)[1]
    assert judged < 120 and len(seen.read_text().splitlines()) < judged + 120 - 15


@pytest.mark.parametrize(("said", "code"), [("Query interrupted", 130), ("a fault of ours", 1)])
def test_ctrl_c_in_the_middle_of_a_query_is_ctrl_c_whatever_the_database_makes_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, code: int
) -> None:
    def stopped(*unused: object, **more: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr("curation.corpus.status.read", stopped)
    Store.create(tmp_path / "corpus")
    monkeypatch.setattr("sys.argv", ["curate", "status", "--corpus", str(tmp_path / "corpus")])
    with pytest.raises((SystemExit, RuntimeError)) as ended:
        main()
    assert getattr(ended.value, "code", 1) == code
