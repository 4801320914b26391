"""`curate view` at size: the index, then what a browser waits for, in this process without the network.

    python -m benchmarks view                              # 100,000 traces
    BENCH_TRACES=1000000 python -m benchmarks view         # the figures of docs/performance.md

Each figure is the median of nine, with the slowest; a page is the whole HTML.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.mix import write_corpus

TRACES = int(os.environ.get("BENCH_TRACES", "100000"))
TEXT = int(os.environ.get("BENCH_TEXT", "1200"))
TIMES = 9


def main() -> None:
    """Make a corpus, index it, and time the pages."""
    from curation.view.app import compare_page, list_page, trace_page
    from curation.view.workplace import Workplace

    folder = Path(tempfile.mkdtemp(prefix="bench-view-"))
    try:
        write_corpus(folder / "corpus", TRACES, TEXT)
        first = once(lambda: Workplace(folder / "corpus", reviewer="bench"))
        again = once(lambda: Workplace(folder / "corpus", reviewer="bench"))
        size = sum(
            path.stat().st_size for path in (folder / "corpus" / ".index").rglob("*") if path.is_file()
        )
        print(
            f"{TRACES:,} traces of {TEXT} characters: first start {first:.1f} s, later {again:.1f} s, index {size / 1e6:,.0f} MB"
        )
        place = Workplace(folder / "corpus", reviewer="bench")
        lines = place.select({}).lines
        words = lines[0].trace.opening.split()
        ids = [line.trace.trace_id for line in place.select({"page": ["2"]}).lines]
        pages: dict[str, Callable[[int], object]] = {
            "first page": lambda n: list_page(place, {}),
            "facets": lambda n: list_page(place, {"strategy": ["improved"], "pattern": ["weak_vacillation"]}),
            "search, one word": lambda n: list_page(place, {"q": [words[1 + n]]}),
            "search, two words": lambda n: list_page(place, {"q": [f"{words[1 + n]} {words[2 + n]}"]}),
            "search, beginning": lambda n: list_page(place, {"q": [f"{words[1 + n][:2]}*"]}),
            "last page": lambda n: list_page(place, {"page": ["999999"]}),
            "trace": lambda n: trace_page(place, {"id": [ids[n]]}),
            "comparison": lambda n: compare_page(
                place, {"by": ["strategy"], "left": ["default"], "right": ["improved"]}
            ),
        }
        for name, page in pages.items():
            taken = [once(lambda n=n, page=page: page(n)) for n in range(TIMES)]
            print(
                f"{name:20} {1000 * statistics.median(taken):8.0f} ms, slowest {1000 * max(taken):.0f} ms",
                flush=True,
            )
    finally:
        shutil.rmtree(folder)


def once(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
