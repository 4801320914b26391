"""Speed of the rule annotator against its own cue banks in Python's `re`, on the same traces in one run.

The baseline does less than the annotator: it only looks for every cue in every text, without rules, spans or tables.
"""

import json
import re
import time
from collections.abc import Callable, Sequence

import pyarrow as pa

from annotators import catalog
from annotators.benchmark import load
from annotators.rules.bank import sources
from curation.annotate import judge
from schemas.tables import TRACES
from schemas.trace import Trace

TRACES_TIMED = 2000
TRACES_BASELINE = 16
"""Enough for the slow side; it is compared per byte."""
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


def main() -> dict[str, float]:
    """Measure, print one line for machines and a few for people, and return the figures."""
    labelled = long_traces([item.trace for item in load("dev")])
    traces = (labelled * (TRACES_TIMED // len(labelled) + 1))[:TRACES_TIMED]
    annotator, work = catalog.get("rules"), batches(traces)
    judge(annotator, batches(labelled, len(labelled))[0])  # automata are built on first use
    ours = min(seconds(lambda: [judge(annotator, batch) for batch in work]) for _ in range(2))

    banks = {field: [re.compile(cue) for cue in sources(field).values()] for field in ("reasoning", "answer")}
    few = labelled[:TRACES_BASELINE]
    plain = seconds(
        lambda: [
            [cue.findall(getattr(trace, field)) for cue in cues]
            for trace in few
            for field, cues in banks.items()
        ]
    )
    figures = {
        "traces_per_second": round(len(traces) / ours),
        "mb_per_second": round(size_of(traces) / ours, 2),
        "re_mb_per_second": round(size_of(few) / plain, 4),
        "times_re": round((size_of(traces) / ours) / (size_of(few) / plain), 1),
        "cues": sum(map(len, banks.values())),
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
