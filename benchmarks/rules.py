"""Speed of the rule annotator against its own cue banks in Python's `re`, on the same traces in one run.

The baseline does less than the annotator: it only looks for every cue in every text, without rules, spans or tables.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

import pyarrow as pa

from annotators import catalog
from annotators.benchmark import load
from annotators.rules.bank import bank, sources
from curation.annotate.stage import judge
from schemas.tables import TRACES
from schemas.trace import Trace

FIELDS: tuple[Literal["reasoning", "answer"], ...] = ("reasoning", "answer")
TRACES_TIMED = 600
TRACES_BASELINE = 8
"""Enough for the slow side; it is compared per byte."""
ROUNDS = 5
JOINED = 4
"""Labelled traces are short; so many reasonings in a row are about as long as what R1 writes (5 kB)."""


def batches(traces: Sequence[Trace], size: int = 512) -> list[pa.RecordBatch]:
    """Traces as they come out of the corpus."""
    rows = pa.Table.from_pylist([trace.model_dump() for trace in traces], schema=TRACES)
    return rows.to_batches(max_chunksize=size)


def long_traces(labelled: Sequence[Trace]) -> list[Trace]:
    """Traces with the reasoning of several labelled ones."""
    groups = [labelled[start : start + JOINED] for start in range(0, len(labelled), JOINED)]
    return [
        group[0].model_copy(update={"reasoning": "\n\n".join(trace.reasoning for trace in group)})
        for group in groups
    ]


def size_of(traces: Sequence[Trace]) -> float:
    """Megabytes of text that are judged."""
    return sum(len((trace.reasoning + trace.answer).encode()) for trace in traces) / 1e6


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one run of `work`."""
    start = time.process_time()
    work()
    return time.process_time() - start


def find_cues(traces: Sequence[Trace]) -> None:
    """Find the cues of every trace and do nothing with them."""
    for trace in traces:
        for field in FIELDS:
            found, data = bank(field), getattr(trace, field).encode()
            present = found.cues_in(data) | found.gap_cues
            for cue in present:
                found.starts(cue, data)


@cache
def compiled() -> dict[str, list[re.Pattern[str]]]:
    """The cues of each field for `re`."""
    return {field: [re.compile(cue) for cue in sources(field).values()] for field in FIELDS}


def find_in_re(traces: Sequence[Trace]) -> None:
    """The same with `re`."""
    for trace in traces:
        for field, cues in compiled().items():
            for cue in cues:
                cue.findall(getattr(trace, field))


def main() -> dict[str, float]:
    """Measure, print one line for machines and a few for people, and return the figures."""
    labelled = long_traces([item.trace for item in load("dev")])
    traces = (labelled * (TRACES_TIMED // len(labelled) + 1))[:TRACES_TIMED]
    annotator, work = catalog.get("rules"), batches(traces)
    few = labelled[:TRACES_BASELINE]

    def rules() -> None:
        for batch in work:
            judge(annotator, batch)

    rules()  # automata are built on first use
    # They take turns and the best of each counts: other work on the machine slows any of them at random.
    timed = [
        (seconds(rules), seconds(lambda: find_cues(traces)), seconds(lambda: find_in_re(few)))
        for _ in range(ROUNDS)
    ]
    ours, finding, theirs = (min(times) for times in zip(*timed, strict=True))
    speed, plain_speed = size_of(traces) / ours, size_of(few) / theirs
    figures = {
        "traces_per_second": round(len(traces) / ours),
        "mb_per_second": round(speed, 2),
        "re_mb_per_second": round(plain_speed, 4),
        "times_re": round(speed / plain_speed, 1),
        "times_re_matching_only": round(size_of(traces) / finding / plain_speed, 1),
        "cues": sum(map(len, compiled().values())),
    }
    print(json.dumps({"benchmark": "rules", **figures}))
    print(
        f"rules: {figures['traces_per_second']} traces/s, {figures['mb_per_second']} MB/s on one core, table included"
    )
    print(
        f"the same {figures['cues']} cues in re: {figures['re_mb_per_second']} MB/s; {figures['times_re']} times slower"
    )
    return figures


if __name__ == "__main__":
    main()
