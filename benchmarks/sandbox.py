"""What the sandbox of coding problems costs: a run in it against the same Python started bare, in turn."""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable

from sft.scoring.programs import sandbox
from sft.scoring.programs.code import judge

ROUNDS = 30
ANSWERS, TESTS = 20, 10
PROGRAM = "print(sum(map(int, input().split())))"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one run of `work`."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bare() -> None:
    """The same program without any of it."""
    python = str(sandbox.python().executable)
    subprocess.run([python, "-c", PROGRAM], input=b"1 2\n", capture_output=True, check=True)


def main() -> dict[str, float]:
    """Measure, print one line for machines and a few for people, and return the figures."""
    proof = seconds(sandbox.prove)
    pairs = [(seconds(lambda: sandbox.run(PROGRAM, "1 2\n")), seconds(bare)) for _ in range(ROUNDS)]
    inside, outside = (statistics.median(times) for times in zip(*pairs, strict=True))
    tests = json.dumps({"inputs": ["1 2\n"] * TESTS, "outputs": ["3"] * TESTS})
    answers: list[tuple[str, str | None]] = [(f"```python\n{PROGRAM}\n```", tests)] * ANSWERS
    judging = seconds(lambda: judge(answers))
    figures = {
        "proof_seconds": proof,
        "run_seconds": inside,
        "bare_seconds": outside,
        "ratio": inside / outside,
        "tests_per_second": ANSWERS * TESTS / judging,
    }
    print(json.dumps(figures))
    print(f"proof, once a process: {proof:.2f} s")
    print(f"one run: {inside * 1000:.0f} ms, bare {outside * 1000:.0f} ms ({inside / outside:.1f} times)")
    print(f"judging on {os.cpu_count()} cores: {figures['tests_per_second']:.0f} tests/s")
    return figures
