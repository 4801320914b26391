"""`make bench-check`: whether a stage became slower, told by ratios of processor time to something else measured in the same run.

The ratios that count are kept in `ratios.json`; `make bench-renew` measures and writes them anew. Sizes are small, for a run of less than
three minutes of processor time. Sides take turns and the best of each counts; what looks worse is measured again before it fails.

    python -m benchmarks._guard                # compare, exit 1 if a ratio is 15 % worse than the one kept
    python -m benchmarks._guard --renew        # keep what is measured now
    python -m benchmarks._guard --renew ingest # only of the named stages
"""

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

KEPT = Path(__file__).with_name("ratios.json")
WORSE = 1.15
ROUNDS = 3
TRIES = 3
"""Measurements of a stage that looks worse; the best of each side counts over all."""

Side = Callable[[], object]
Seconds = dict[str, float]
"""Processor seconds by side: "ours", and what it is compared with."""


def cpu() -> float:
    """Processor seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def in_turns(sides: Mapping[str, Side], rounds: int = ROUNDS) -> Seconds:
    """The best processor time of each side; a first round that loads everything does not count."""
    best: Seconds = {}
    for number in range(rounds + 1):
        for name, side in sides.items():
            start = cpu()
            side()
            spent = cpu() - start
            if number:
                best[name] = min(spent, best.get(name, spent))
    return best


def ingest(folder: Path, rows: int = 20_000, rounds: int = ROUNDS) -> Seconds:
    """`curate ingest` of JSONL; pyarrow, which reads and writes it without looking."""
    from benchmarks import ingest as benchmark

    source = folder / "traces.jsonl"
    benchmark.write_rows(source, rows)
    sides = {"ours": benchmark.ingest, "pyarrow": benchmark.floor}
    took = [
        {name: benchmark.one_round(work, source)["cpu"] for name, work in sides.items()}
        for _ in range(rounds)
    ]
    return {name: min(one[name] for one in took) for name in sides}


def rules(folder: Path) -> Seconds:
    """The rule annotator; the same cues in `re`, over a few traces and scaled to as many bytes."""
    from annotators import catalog
    from benchmarks import rules as benchmark

    labelled = benchmark.long_traces([item.trace for item in benchmark.load("dev")])
    annotator, work, few = catalog.get("rules"), benchmark.batches(labelled), labelled[:3]
    found = in_turns({
        "ours": lambda: [benchmark.judge(annotator, batch) for batch in work],
        "matching": lambda: benchmark.find_cues(labelled),
        "re": lambda: benchmark.find_in_re(few),
    })  # fmt: skip
    return found | {"re": found["re"] * benchmark.size_of(labelled) / benchmark.size_of(few)}


def mix(folder: Path, traces: int = 200_000, rounds: int = ROUNDS) -> Seconds:
    """A build after `curate annotate`; pandas, polars, and a bare scan of the columns."""
    from benchmarks import mix as benchmark

    corpus, out = folder / "corpus", folder / "mix"
    benchmark.write_corpus(corpus, traces)
    benchmark.index(corpus, out)
    sides = {
        "ours": benchmark.curate,
        "pandas": benchmark.pandas,
        "polars": benchmark.polars,
        "scan": benchmark.scan,
    }
    return in_turns({name: lambda side=side: side(corpus, out) for name, side in sides.items()}, rounds)


def dedup(folder: Path, texts: int = 2_000, rounds: int = ROUNDS) -> Seconds:
    """Near-duplicates; datasketch."""
    from benchmarks import dedup as benchmark

    made, _ = benchmark.make_texts(texts)
    part = benchmark.write_part(made, folder)
    return in_turns(
        {"ours": lambda: benchmark.ours(part), "datasketch": lambda: benchmark.datasketch(made)}, rounds
    )


def score(folder: Path) -> Seconds:
    """`sft score` of 500 replies of a tiny model; the bare engine."""
    from benchmarks import score as benchmark

    found = benchmark.processor_on_transformers(folder)
    return {"ours": found["cpu_ours_s"], "bare engine": found["cpu_bare_s"]}


STAGES: dict[str, tuple[Callable[[Path], Seconds], str]] = {
    "ingest": (ingest, "pyarrow"),
    "rules": (rules, "re"),
    "mix": (mix, "pandas"),
    "dedup": (dedup, "datasketch"),
    "score": (score, "bare engine"),
}
"""How each stage is measured, and the side that its ratio is to."""


def ratio(stage: str, found: Mapping[str, float]) -> float:
    """Our processor time over the other side's."""
    return found["ours"] / found[STAGES[stage][1]]


def faults(kept: Mapping[str, Mapping[str, float]], found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What is worse than what was kept, a line for each stage; a stage that was never measured is one too."""
    said = []
    for stage, seconds in found.items():
        now, peer = ratio(stage, seconds), STAGES[stage][1]
        if stage not in kept:
            said.append(f"{stage}: no ratio is kept; run: make bench-renew")
        elif now > WORSE * (before := ratio(stage, kept[stage])):
            said.append(
                f"{stage}: {now:.4g} of {peer}, {100 * (now / before - 1):.0f} % worse than the {before:.4g} kept; "
                "make it faster, or if that was meant: make bench-renew"
            )
    return said


def best(one: Mapping[str, float], other: Mapping[str, float]) -> Seconds:
    """The better of two measurements of each side."""
    return {name: min(seconds, other[name]) for name, seconds in one.items()}


def measured(stage: str) -> Seconds:
    """One measurement of a stage, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return STAGES[stage][0](Path(folder))


def machine() -> str:
    """The machine in words."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores ({names[0] if names else platform.machine()}), {memory:.0f} GiB, Python {platform.python_version()}"


def main(arguments: list[str]) -> int:
    """Measure every stage, or those named; compare, or with `--renew` keep the figures."""
    renew = "--renew" in arguments
    named = [argument for argument in arguments if argument != "--renew"]
    if unknown := sorted({*named} - STAGES.keys()):
        sys.exit(f"no stage {', '.join(unknown)}; there are: {', '.join(STAGES)}")
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {"stages": {}}
    found: dict[str, Seconds] = {}
    for stage in named or STAGES:
        found[stage] = measured(stage)
        for _ in range(TRIES - 1):
            if not renew and faults(kept["stages"], {stage: found[stage]}) and stage in kept["stages"]:
                found[stage] = best(found[stage], measured(stage))
        sides = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found[stage].items())
        print(f"{stage}: {ratio(stage, found[stage]):.4g} of {STAGES[stage][1]} ({sides})", flush=True)
    print(f"{cpu():.0f} s of processor time")
    if renew:
        stages = {
            stage: {side: round(value, 4) for side, value in one.items()} for stage, one in found.items()
        }
        told = {"machine": machine(), "stages": kept["stages"] | stages}
        KEPT.write_text(json.dumps(told, indent=2) + "\n")
        return 0
    wrong = faults(kept["stages"], found)
    print("\n".join(wrong) or "no stage is slower than what is kept")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
