"""Generates the list of benchmark prompts, `curation/overlap/decontaminate/benchmarks.csv`: name and key, never the text.

    python -m curation.overlap.decontaminate.keys xstest=xstest_safe.jsonl:query math500=math500.jsonl:problem > curation/overlap/decontaminate/benchmarks.csv

build-mix excludes every trace whose prompt has one of these keys (sql/benchmark_key.sql: case, spacing and punctuation
do not matter), so no evaluation prompt can enter a mix by accident.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from curation.corpus.query import benchmark_keys


def lines(arguments: list[str]) -> Iterator[str]:
    """The lines of the registry for arguments of the form NAME=FILE.jsonl:COLUMN."""
    yield "benchmark,key"
    for argument in arguments:
        name, _, place = argument.partition("=")
        file, _, column = place.rpartition(":")
        texts = [json.loads(line)[column] for line in Path(file).read_text(encoding="utf-8").splitlines()]
        yield from (f"{name},{key}" for key in sorted(set(benchmark_keys(texts))))


if __name__ == "__main__":
    sys.stdout.writelines(line + "\n" for line in lines(sys.argv[1:]))
