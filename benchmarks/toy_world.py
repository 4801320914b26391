"""A toy world, end to end: a model of a million parameters that reasons and complies, and what differently curated mixes make of it.

Generate, annotate, mix, train, score, all by the product's own commands, with three seeds; each seed has its own base model. It tests
the pipeline, not the science: language, base model and settings are ours, and the directions were looked for on another seed.

    python -m benchmarks toy_world            # TOY_SEEDS=1,2, TOY_TEXTS=3000 and TOY_OUT=folder to choose
"""

import json
import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks._toy_language import UNSEEN, Request, base_texts, requests
from schemas.choices import Think

RECIPES = Path(__file__).parent / "toy"
BASE_TEXTS = int(os.environ.get("TOY_TEXTS", "12000"))
PLAIN = ("guarded", "filtered", "without-benign", "nocot")
MODELS = ("raw", *PLAIN, "presafe")
COMMON: dict[str, Any] = {
    "warmup_steps": 10, "per_device_train_batch_size": 32, "gradient_accumulation_steps": 1, "max_length": 256, "bf16": False,
    "gradient_checkpointing": False, "logging_steps": 20, "save_steps": 10_000,
}  # fmt: skip
BASE: dict[str, Any] = {"learning_rate": 3e-3, "num_train_epochs": 2}
TUNED: dict[str, Any] = {"learning_rate": 2e-4, "num_train_epochs": 3}
PRESAFE: dict[str, Any] = {"weight": 0.2}
SAMPLES: dict[Think, int] = {"as_is": 4, "zero": 1}
REPLY_TOKENS = 96


class World(NamedTuple):
    """One seed's folder."""

    root: Path
    seed: int

    @property
    def corpus(self) -> Path:
        """What the base model said, and what was found in it."""
        return self.root / "corpus"

    @property
    def exam(self) -> Path:
        """Requests that nobody was trained on, and the models' replies."""
        return self.root / "exam"

    def run(self, name: str) -> Path:
        """The run of a model."""
        return self.root / "runs" / name


def found(root: Path, seed: int, count: int = BASE_TEXTS, also: Sequence[str] = ()) -> World:
    """Make the base model of a seed: a random model and `count` of the language's texts; its tokenizer knows the words of `also` too."""
    from curation.mix import build as mix
    from sft.tiny import make_model, make_tokenizer, own_family

    world = World(root, seed)
    learned = [request for request in requests() if not request.tested]
    texts = base_texts(learned, count, seed)
    collect(root / "childhood", texts)
    (root / "childhood.yaml").write_text(
        "name: childhood\nparts:\n  all:\n    where: 'true'\n", encoding="utf-8"
    )
    mix.run(root / "childhood", root / "childhood.yaml", out=root / "mixes" / "childhood")
    known = ["\n".join([t["prompt"], t["reasoning"], t["answer"]]) for t in texts]
    tokenizer = make_tokenizer(own_family(), [*known, *also], 768)
    make_model(root / "random", tokenizer, seed=seed, max_length=256)
    learn(world, "raw", root / "random", root / "mixes" / "childhood", BASE)
    return world


def learn(world: World, name: str, model: Path, mix: Path, settings: Mapping[str, Any]) -> None:
    """Train."""
    from sft.training.config import TrainConfig
    from sft.training.stage import train

    given = {
        **COMMON,
        **settings,
        "model": str(model),
        "mix": str(mix),
        "out": str(world.run(name)),
        "seed": world.seed,
    }
    train(TrainConfig.model_validate(given))


def speak(world: World, samples: Mapping[Think, int] = SAMPLES) -> None:
    """The base model answers prompts so many times with and without reasoning; the rules judge its answers; the teacher's decisions are written."""
    from curation.annotate import decisions
    from curation.annotate import stage as annotate
    from curation.engines.settings import EngineSettings
    from curation.generate import stage as generate

    draw = random.Random(world.seed)
    asked = [r for r in requests() if not r.tested and r.attack != UNSEEN]
    chosen = [
        r
        for kind, n in (("harmful", 300), ("benign", 150), ("math", 150))
        for r in draw.sample([r for r in asked if r.kind == kind], n)
    ]
    collect(world.corpus, [request.prompt() for request in chosen])
    engine = EngineSettings(kind="transformers", model=str(world.run("raw")))
    sampling = generate.GenerateSampling(temperature=1, top_p=1, max_new_tokens=REPLY_TOKENS, seed=world.seed)
    for think, count in samples.items():
        generate.run(
            world.corpus,
            generate.GenerateRecipe(engine=engine, samples=count, think=think, sampling=sampling),
        )
    annotate.run(world.corpus, annotate.AnnotateRecipe(annotators=["rules"]))
    if "zero" not in samples:
        return
    taught = decisions.decide(world.corpus, "refusals", 'sampling like \'%"think":"zero%\'')
    decisions.write(taught, world.root / "decisions.jsonl")


def curate(world: World, mixes: Sequence[str] = PLAIN, tuned: Mapping[str, Any] = TUNED) -> None:
    """Mixes and a model from each; with `nocot` also one with PreSafe's head."""
    from curation.mix import build as mix

    for name in mixes:
        mix.run(world.corpus, RECIPES / f"{name}.yaml", out=world.root / "mixes" / name)
        learn(world, name, world.run("raw"), world.root / "mixes" / name, tuned)
    if "nocot" not in mixes:
        return
    head = {"presafe": {**PRESAFE, "decisions": str(world.root / "decisions.jsonl")}}
    learn(world, "presafe", world.run("raw"), world.root / "mixes" / "nocot", {**tuned, **head})


def examine(
    world: World, names: Sequence[str], suites: Sequence[str] = ("all",), tokens: int = REPLY_TOKENS
) -> None:
    """Score models by suites on requests that nobody was trained on."""
    from curation.engines.settings import EngineSettings
    from sft.scoring import stage as score
    from sft.scoring.suite_files import HowAsked, choose

    exam = world.exam
    collect(exam, [request.prompt() for request in examined()])
    chosen = choose(suites, changes=HowAsked(temperature=1, top_p=1, max_new_tokens=tokens, samples=1))
    for name in names:
        score.score_model(
            exam, EngineSettings(kind="transformers", model=str(world.run(name))), suites=chosen
        )


def examined() -> list[Request]:
    """The same for every seed: harmful ones under every framing, those that only sound harmful, sums."""
    tested = [r for r in requests() if r.tested]
    owned = [r for r in tested if r.kind == "harmful"]
    sound = [r for r in tested if r.kind == "benign" and r.attack in ("none", "story", UNSEEN)]
    return [*owned, *sound, *[r for r in tested if r.kind == "math"][::13]]


def collect(corpus: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Ingest rows, by way of a JSONL file beside the corpus."""
    from curation.ingest import stage as ingest

    file = corpus.with_suffix(".jsonl")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    ingest.run(corpus, [str(file)], ingest.IngestRecipe())


def live(root: Path, seed: int) -> World:
    """One seed, from nothing to scores."""
    world = found(root, seed)
    speak(world)
    curate(world)
    examine(world, MODELS)
    return world


class Contrast(NamedTuple):
    """A direction of the study: one model's rate less another's, and what is expected of it."""

    column: str
    model: str
    base: str
    expected: str


CONTRASTS = (
    Contrast("ASR", "guarded", "raw", "lower"),
    Contrast("ASR", "filtered", "guarded", "lower"),
    Contrast("over-refusal", "without-benign", "filtered", "higher"),
    Contrast("ASR", "nocot", "raw", "as in the study: hardly lower"),
    Contrast("ASR", "presafe", "nocot", "lower"),
    Contrast("over-refusal", "presafe", "nocot", "equal"),
    Contrast("accuracy", "presafe", "nocot", "equal"),
)


def difference(contrast: Contrast, worlds: Sequence[World]) -> dict[str, Any]:
    """A contrast on the prompts that both models were judged on, with a 95 % bootstrap interval over prompts, and seed by seed."""
    import numpy as np

    by_prompt: dict[str, list[float]] = defaultdict(list)
    by_seed = []
    for world in worlds:
        first, second = (labels(world.run(name), contrast.column) for name in (contrast.model, contrast.base))
        shared = first.keys() & second.keys()
        for key in shared:
            by_prompt[key].append(float(first[key]) - float(second[key]))
        by_seed.append(round(sum(first[k] - second[k] for k in shared) / len(shared), 3))
    means = np.array([np.mean(by_prompt[key]) for key in sorted(by_prompt)])
    drawn = np.random.default_rng(0).choice(means, (4000, len(means))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        **contrast._asdict(),
        "difference": round(float(means.mean()), 3),
        "interval": [round(float(low), 3), round(float(high), 3)],
        "by_seed": by_seed,
    }


def labels(run: Path, column: str) -> dict[str, bool]:
    """prompt -> what its reply counts as, where it could be judged."""
    from sft.comparison import stage as compare

    (scored,) = compare.load([run])
    (suite,) = (suite for suite in scored.scores.suites if suite.title == column)
    told = {
        o.prompt_id: o.measures.get(compare.headline_of(suite))
        for o in scored.outcomes
        if o.suite == suite.suite
    }
    return {key: bool(label) for key, label in told.items() if label is not None}


def main() -> None:
    """Print the models' rates seed by seed, and each contrast over all seeds."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other make a tiny model slower
    from sft.comparison import stage as compare
    from sft.comparison import tables

    seeds = [int(seed) for seed in os.environ.get("TOY_SEEDS", "1,2,3").split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(os.environ.get("TOY_OUT", scratch))
        started = time.monotonic()
        worlds = [live(root / f"seed-{seed}", seed) for seed in seeds]
        minutes = (time.monotonic() - started) / 60
        for world in worlds:
            print(f"seed {world.seed}")
            print(tables.markdown(compare.compare(compare.load([world.run(name) for name in MODELS]))))
        found = [difference(contrast, worlds) for contrast in CONTRASTS]
    for one in found:
        low, high = one["interval"]
        print(
            f"{one['column']}, {one['model']} less {one['base']}: {one['difference']:+.3f} [{low:+.3f}, {high:+.3f}], "
            f"by seed {one['by_seed']} (expected: {one['expected']})"
        )
    print(json.dumps({"benchmark": "toy_world", "minutes": round(minutes, 1), "contrasts": found}))
