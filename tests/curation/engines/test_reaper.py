"""An engine's processes end when ours is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CODE = """
import subprocess, sys
from curation.engines.reaper import take_along
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
take_along([child.pid])
print(child.pid, flush=True)
sys.stdin.read()
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(") ")[2][0] != "Z"


def test_a_killed_process_takes_its_engine_along() -> None:
    ours = subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert ours.stdout is not None
    child = int(ours.stdout.readline())
    time.sleep(0.5)
    assert alive(child)
    ours.send_signal(signal.SIGKILL)
    ours.wait()
    deadline = time.monotonic() + 20
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)
