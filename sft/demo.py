"""`sft demo --quick`: the whole pipeline on bundled samples with models small enough for any machine.

Ingest, annotate, three mixes, a tiny model trained from scratch on each, scores, a report. It tests the pipeline: models
with half a million parameters trained on a hundred short texts say nothing about the effect of a mix on a real one.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from curation import console
from curation.annotate import stage as annotate
from curation.corpus.store import Store, write_file
from curation.engines.settings import EngineSettings
from curation.ingest import stage as ingest
from curation.ingest.recipe import IngestRecipe
from curation.mix import build as mix
from schemas.errors import CorpusError, require
from sft.comparison import report
from sft.scoring import stage as score
from sft.scoring.suite_files import HowAsked, choose
from sft.training.config import TrainConfig
from sft.training.stage import train

MIXES = ("default", "improved", "no-risky-pattern")
MARKER = "demo.json"
NOTE = (
    "This is a demonstration on made-up samples. The models have about half a million parameters and were trained from "
    "scratch on a hundred short texts each, so these numbers show that the pipeline runs from prompts to scores; they "
    "say nothing about the effect of such mixes on a real reasoning model."
)
VOCABULARY = 1024
TRAINING: dict[str, Any] = {
    "learning_rate": 1e-2,
    "warmup_steps": 10,
    "max_steps": 120,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "max_length": 1024,
    "bf16": False,
    "gradient_checkpointing": False,
    "logging_steps": 3,
    "save_steps": 1000,
}
SHORT = HowAsked(max_new_tokens=256)


def play(out: Path, seed: int = 42) -> dict[str, Any]:
    """Run the demo in a new folder, replacing an earlier demo there; returns the output paths and the time taken.

    Args:
        out: the folder.
        seed: of the training, not of the mixes.

    Raises:
        CorpusError: if the folder is not empty.
        MissingExtraError: if the training libraries are not installed.
    """
    started = time.monotonic()
    # With several threads a tiny model is slower, ten times on a busy machine. Torch reads this when it is first imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    claim(out)
    with (
        as_file(files("curation") / "samples") as samples,
        as_file(files("sft") / "recipes" / "demo") as recipes,
    ):
        with step("1/6 ingesting the bundled samples into a corpus (invalid rows are quarantined)"):
            ingest_samples(out, samples)
        with step("2/6 annotating risky patterns with the rules"):
            annotate.run(out / "corpus", annotate.AnnotateRecipe(annotators=["rules"]))
        with step(f"3/6 building three mixes: {', '.join(MIXES)}"):
            for name in MIXES:
                console.say_counts(
                    name, mix.run(out / "corpus", recipes / f"{name}.yaml", out=out / "mixes" / name).counts
                )
    with step("4/6 training a tiny model on each mix, after checking every row"):
        _base_model(out)
        for name in MIXES:
            _train(out, name, seed)
    with step("5/6 scoring each model on 60 unseen prompts"):
        for name in MIXES:
            tiny = EngineSettings(kind="transformers", model=str(out / "runs" / name))
            score.score_model(out / "evaluation", tiny, suites=choose(changes=SHORT))
    with step("6/6 writing the report"):
        page = _report(out)
    seconds = round(time.monotonic() - started, 1)
    _say_what_it_shows(page, seconds)
    return {"report": str(page), "seconds": seconds, "mixes": list(MIXES)}


def claim(out: Path) -> None:
    """Take a new folder, or that of an earlier demo, which is deleted; raises as `play` does."""
    require("trl")
    if (out / MARKER).is_file():
        shutil.rmtree(out)
    if out.is_dir() and any(out.iterdir()):
        raise CorpusError(f"{out}: the folder is not empty; set --out to a new or empty one")
    write_file(out / MARKER, b"{}\n")


def ingest_samples(out: Path, samples: Path) -> None:
    """Ingest the bundled samples: traces into `out/corpus`, prompts to score with into `out/evaluation`."""
    plain = IngestRecipe.from_options(format="auto", kind=None, map=[], source=None)
    for name in ("traces", "labels", "broken"):
        console.say_counts(
            f"{name}.jsonl", ingest.run(out / "corpus", [str(samples / f"{name}.jsonl")], plain).counts
        )
    prompts = ingest.run(out / "evaluation", [str(samples / "eval_prompts.jsonl")], plain)
    console.say_counts("eval_prompts.jsonl", prompts.counts)


def _base_model(out: Path) -> None:
    from sft.tiny import make_model, make_tokenizer, own_family

    columns = ["prompt", "reasoning", "answer"]
    texts = [
        "\n".join(row.values())
        for batch in Store(out / "corpus").scan("traces", columns)
        for row in batch.to_pylist()
    ]
    # sorted, so that the tokenizer does not depend on the order of the parts
    tokenizer = make_tokenizer(own_family(), sorted(texts), VOCABULARY)
    parameters = make_model(out / "base", tokenizer, layers=2)
    console.say(f"base: a random model of {parameters:,} parameters")


def _train(out: Path, name: str, seed: int) -> None:
    manifest = train(
        TrainConfig(
            model=str(out / "base"),
            mix=str(out / "mixes" / name),
            out=str(out / "runs" / name),
            seed=seed,
            **TRAINING,
        )
    )
    console.say(f"{name}: {manifest.summary['steps']} steps, mean loss {manifest.summary['train_loss']:.2f}")


def _report(out: Path) -> Path:
    entries = [report.ReportEntry(name, out / "mixes" / name, out / "runs" / name) for name in MIXES]
    title = "Demo: one tiny model, three mixes"
    return report.write_page(
        entries, out / "corpus", out / "evaluation", out=out / "report.html", title=title, note=NOTE
    )


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    started = time.monotonic()
    console.say(f"\n{what}")
    yield
    console.say(f"  {time.monotonic() - started:.1f} s")


def _say_what_it_shows(page: Path, seconds: float) -> None:
    console.say(
        f"\nDone in {seconds:.0f} s. Open {page} in a browser: scores of the three models with intervals, what is in "
        "each mix, where risky patterns occur, loss curves, the counts of every stage, and replies of the models.\n"
        "It shows that the pipeline works end to end. It is no evidence about real models: these are tiny, "
        "trained from scratch, and asked 20 prompts per suite."
    )
