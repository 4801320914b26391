"""Crash safety: every stage is killed with SIGKILL at random moments, run again, and compared with an undisturbed run.

Each trial starts from the same state, is killed once or several times, then runs to its end; its tables (by content, keys
unique), mixes, weights and scores must equal those of the run that nobody disturbed. Prints how many trials were killed
and how many came out different, which must be none.

    python -m benchmarks crash          # 200 kills; CRASH_KILLS=20 for fewer
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from benchmarks._people import argilla
from benchmarks.ingest import write_rows
from curation.corpus.store import Store
from schemas.tables import KEYS, TABLES

KILLS = int(os.environ.get("CRASH_KILLS", "200"))
FORGOTTEN = "0" * 32
"""Id of a trace that every part of `forgetful` has a row about."""
SAMPLES = Path(str(files("curation") / "samples"))


class Stage(NamedTuple):
    """A command line, and where what it makes is to be looked for."""

    name: str
    command: Sequence[str]
    makes: Sequence[str]
    """Corpora, mixes, or files with weights or scores."""
    weight: int = 1
    """Share of the kills."""
    keeps: bool | None = False
    """Whether all content stays as it is; null where it cannot be read before."""
    before: Sequence[str] = ()
    """A command before each trial, where something outside the folder has to be as it was."""


STAGES: tuple[Stage, ...] = (
    Stage("ingest", ("curate", "ingest", "big.jsonl", "--kind", "harmful", "--corpus", "big"), ("big",), 3),
    Stage("run", ("curate", "run", "pipeline.yaml"), ("piped", "piped-mix"), 2),
    Stage("annotate", ("curate", "annotate", "--annotators", "rules", "--corpus", "big"), ("big",), 3),
    Stage("dedup", ("curate", "dedup", "--methods", "exact,near", "--corpus", "big"), ("big",), 3),
    Stage("compact", ("curate", "compact", "--target-mb", "1000", "--corpus", "many"), ("many",), 3, keeps=True),
    Stage("check --repair", ("curate", "check", "harmed", "--repair"), ("harmed",), 2, keeps=None),
    Stage("forget", ("curate", "forget", "--corpus", "forgetful", "--annotator", "rules", "--trace", FORGOTTEN, "--look-in", "mixes"), ("forgetful",), 2),
    Stage("generate", ("curate", "generate", "--model", "base", "--engine", "transformers", "--strategies", "default,improved",
                       "--limit", "40", "--max-new-tokens", "12", "--corpus", "small"), ("small",), 2),
    Stage("review import", ("curate", "review", "import", "reviews.jsonl", "--corpus", "small"), ("small",), 2),
    Stage("view", ("people", "label", "small"), ("small",), 2),
    Stage("adjudicate", ("people", "decide", "small"), ("small", "decided"), 2, before=("people", "anew", "small")),
    Stage("build-mix", ("curate", "build-mix", "mix.yaml", "--corpus", "small", "--out", "mix"), ("mix",), 3),
    Stage("train", ("sft", "run", "train.yaml"), ("run/model",), 1),
    Stage("score", ("sft", "score", "run", "--corpus", "small", "--suite", "safety", "--max-new-tokens", "12"), ("small",), 1),
)  # fmt: skip


def prepare(folder: Path, rows: int) -> None:
    """Inputs of every stage: a corpus of made-up text, the bundled samples, a tiny model."""
    from sft.tiny import make_model, make_tokenizer, own_family

    write_rows(folder / "big.jsonl", rows)
    samples = [json.loads(line) for line in (SAMPLES / "traces.jsonl").read_text("utf-8").splitlines()]
    texts = sorted("\n".join([row["prompt"], row["reasoning"], row["answer"]]) for row in samples)
    make_model(folder / "base", make_tokenizer(own_family(), texts, 512), layers=1, hidden=32)
    curate(folder, "curate", "ingest", str(SAMPLES / "traces.jsonl"), str(SAMPLES / "eval_prompts.jsonl"), "--corpus", "small")  # fmt: skip
    curate(folder, "curate", "annotate", "--annotators", "rules", "--corpus", "small")
    corpus = Store.create(folder / "many")
    for batch in Store(folder / "small").scan("traces", batch_rows=2):
        corpus.append_rows("traces", batch.to_pylist())
    prepare_upkeep(folder)
    prepare_reviews(folder)
    write_pipeline(folder, rows // 10)
    (folder / "mix.yaml").write_text("name: x\nparts:\n  a: {where: \"kind = 'harmful'\", take: 20}\n")
    settings = {
        "model": "base", "mix": "mix", "out": "run", "max_steps": 12, "save_steps": 2, "bf16": False, "max_length": 1024,
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "gradient_checkpointing": False,
    }  # fmt: skip
    (folder / "train.yaml").write_text(json.dumps(settings))


def prepare_reviews(folder: Path) -> None:
    """A round of all traces, and two people's reviews of it, which differ on every third trace."""
    curate(
        folder,
        "curate",
        "review",
        "export",
        "round.jsonl",
        "--where",
        "true",
        "--traces",
        "500",
        "--corpus",
        "small",
    )
    tasks = [json.loads(text) for text in (folder / "round.jsonl").read_text("utf-8").splitlines()]
    with (folder / "reviews.jsonl").open("w") as file:
        for number, task in enumerate(tasks):
            for reviewer, said in ("dan", "none" if number % 3 else "weak_vacillation"), ("eve", "none"):
                review = {"trace_id": task["trace_id"], "reviewer": reviewer, "patterns": [said]}
                file.write(json.dumps(review) + "\n")


def write_pipeline(folder: Path, rows: int) -> None:
    """A pipeline file with every step, and its input."""
    write_rows(folder / "piped.jsonl", rows)
    (folder / "benchmark.jsonl").write_text('{"problem": "a question that nobody has asked here before"}\n')
    (folder / "piped.yaml").write_text("name: piped\nparts: {all: {where: 'true', take: 50}}\n")
    steps = {
        "corpus": "piped",
        "ingest": [{"files": ["piped.jsonl"], "kind": "harmful"}],
        "annotate": {"annotators": ["rules"]},
        "dedup": {},
        "decontaminate": {"against": ["own=benchmark.jsonl:problem"]},
        "mix": [{"recipe": "piped.yaml", "out": "piped-mix"}],
    }
    (folder / "pipeline.yaml").write_text(json.dumps(steps))


def prepare_upkeep(folder: Path) -> None:
    """Corpora of many parts: one in which many cannot be read or have the rows of another, one with many rows to forget."""
    for name in ("harmed", "forgetful"):
        shutil.copytree(folder / "small", folder / name)
        corpus = Store(folder / name)
        for part in corpus.files("traces"):
            part.unlink()
        for number, batch in enumerate(Store(folder / "small").scan("traces", batch_rows=8)):
            corpus.append_rows("traces", batch.to_pylist())
            if name == "harmed":
                harm(corpus, number)
            else:
                forgotten = {"trace_id": FORGOTTEN, "pattern": f"p{number}", "annotator": "other@1"}
                corpus.append_rows("annotations", [forgotten])
    (folder / "mixes").mkdir()


def harm(corpus: Store, number: int) -> None:
    """Beside one part in three, put a cut copy; beside another, a copy with the same rows."""
    made = max(corpus.files("traces"), key=lambda part: part.stat().st_mtime_ns)
    if number % 3 == 0:
        made.with_name(f"part-cut{number}.parquet").write_bytes(made.read_bytes()[:-50])
    if number % 3 == 1:
        shutil.copyfile(made, made.with_name(f"part-twice{number}.parquet"))


def environment() -> dict[str, str]:
    """One thread a process: tiny models are slower with more."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def line(command: Sequence[str]) -> list[str]:
    """The command, in this very environment."""
    module = {"curate": "curation.cli", "sft": "sft.cli", "people": "benchmarks._people"}[command[0]]
    return [sys.executable, "-c", f"from {module} import main; main()", *command[1:]]


def curate(folder: Path, *command: str) -> None:
    """Run a command to its end; raises RuntimeError, with what it said, where it fails."""
    done = subprocess.run(line(command), cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr[-800:]}")


def killed(folder: Path, command: Sequence[str], after: float) -> bool:
    """Run a command and kill it, with its children, after some seconds; false if it ended before."""
    running = subprocess.Popen(
        line(command), cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        running.wait(after)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, 9)
        running.wait()
        return True


def content(folder: Path, makes: Sequence[str]) -> dict[str, str]:
    """Hashes of everything that a stage made: tables by content, other files by their bytes.

    Raises:
        AssertionError: if a table has a key twice.
    """
    found: dict[str, str] = {}
    for name in makes:
        place = folder / name
        if not place.exists():
            continue
        found |= dict(tables(Store(place)) if (place / "corpus.json").is_file() else hashes(place))
    return found


def tables(corpus: Store) -> Iterator[tuple[str, str]]:
    """The rows of every table, in the order of their keys."""
    for table in TABLES:
        rows = [row for part in corpus.parts(table) for row in pq.read_table(part).to_pylist()]
        keys = [tuple(str(row[name]) for name in KEYS[table]) for row in rows]
        assert len(set(keys)) == len(keys), f"{table}: a key twice"
        lines = sorted(
            json.dumps(
                {k: v for k, v in row.items() if k not in ("updated_at",)}, sort_keys=True, default=str
            )
            for row in rows
        )
        yield f"{corpus.root.name}/{table}", hashlib.sha256("\n".join(lines).encode()).hexdigest()


def hashes(folder: Path) -> Iterator[tuple[str, str]]:
    """The bytes of every file of a folder."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()


def trials(
    stage: Stage, before: Path, after: Path, seconds: float, kills: int, chance: random.Random
) -> list[str]:
    """Kill a stage so many times in all, in trials of one to three kills; returns what came out different.

    Args:
        stage: the stage.
        before: the state that it starts from.
        after: the state that it leaves undisturbed.
        seconds: how long it takes undisturbed.
        kills: how many kills.
        chance: decides the moments.
    """
    wanted, faults, done = content(after, stage.makes), [], 0
    while done < kills:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "state"
            shutil.copytree(before, folder)
            if stage.before:
                curate(folder, *stage.before)
            moments = [
                round(chance.uniform(0.25, 1.0) * seconds, 3)
                for _ in range(min(chance.randint(1, 3), kills - done))
            ]
            for moment in moments:
                killed(folder, stage.command, moment)
            done += len(moments)
            try:
                curate(folder, *stage.command)
                found = content(folder, stage.makes)
            except (RuntimeError, AssertionError) as error:
                faults.append(f"{stage.name} killed after {moments} s: {error}")
                continue
            if different := sorted(
                key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)
            ):
                faults.append(f"{stage.name} killed after {moments} s: {', '.join(different)} differ")
    return faults


def measure(
    kills: int = KILLS, rows: int = 20_000, stages: Sequence[Stage] = STAGES, seed: int = 0
) -> dict[str, object]:
    """Run the harness; returns the kills per stage and every difference."""
    chance = random.Random(seed)
    faults: list[str] = []
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as servers:
        before = Path(scratch) / "0"
        before.mkdir()
        prepare(before, rows)
        servers.enter_context(argilla(Path(scratch) / "server", before))
        for number, stage in enumerate(STAGES, 1):
            after = Path(scratch) / str(number)
            shutil.copytree(before, after)
            start = time.perf_counter()
            curate(after, *stage.command)
            seconds = time.perf_counter() - start
            if stage.keeps is not None:
                same = content(after, stage.makes) == content(before, stage.makes)
                assert same == stage.keeps, f"{stage.name} did nothing"
            if stage in stages:
                share = max(1, round(kills * stage.weight / sum(s.weight for s in stages)))
                counts[stage.name] = share
                found = trials(stage, before, after, seconds, share, chance)
                print(
                    f"{stage.name}: {share} kills within {seconds:.1f} s each, {len(found)} different",
                    flush=True,
                )
                faults += found
            shutil.rmtree(before)
            before = after
    return {"kills": sum(counts.values()), "stages": counts, "faults": faults}


def main() -> None:
    """Print the result as a JSON line."""
    found = measure()
    print(json.dumps({"benchmark": "crash", **found}))
    if found["faults"]:
        sys.exit("crash: a killed run did not end like the undisturbed one")
