"""PreSafe on a real model: SmolLM2-135M-Instruct, LoRA, the same rows and steps with and without the head, some seeds.

The model itself, which has no chain of thought of its own, hardly refuses anything, so that it is no safer teacher; how often it does is told. The
teacher is the kind of the prompt instead (`curate decide --teacher kind`). The mix has PreSafe's two paths, from the bundled samples. Asked are the bundled unseen prompts, all mild, and harmless questions that sound like harm. 135 million parameters, some
dozens of prompts and 24 steps are no evidence about large models.

    python -m benchmarks presafe_smol         # PRESAFE_SEEDS=1,2 to choose, PRESAFE_OUT=folder to go on after a kill
"""

import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from benchmarks.attribution_smol import questions, whole
from benchmarks.structures import told
from benchmarks.toy_world import Contrast, World, collect, difference, labels
from sft.smol import NAME, model_folder

MIX = Path(__file__).parent / "smol" / "two-paths.yaml"
MODELS = ("plain", "presafe")
COLUMNS = ("ASR", "over-refusal")
SOUNDING = 20
"""Harmless questions that sound like harm, beside the bundled harmless ones."""
DECISIONS, DECIDING_TOKENS = 3, 48
"""Answers of the untrained model to each prompt of the mix, and how long they may be."""
ASKING = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64}
SAMPLES = {"safety": 2, "overrefusal": 1}
"""Replies per prompt."""
CONTRASTS = tuple(Contrast(column, "presafe", "plain", "") for column in COLUMNS)


def prepare(root: Path, model: Path) -> None:
    """What all seeds share: the corpus, the mix, the untrained model's answers, the teacher's decisions and the exam."""
    from curation.annotate import decisions
    from curation.annotate import stage as annotate
    from curation.mix import build as mix
    from sft.demo import ingest_samples

    if (root / "decisions.jsonl").is_file():
        return
    with as_file(files("curation") / "samples") as samples:
        ingest_samples(root, samples)
    sounding = [{"prompt": text, "kind": "benign"} for text in questions()["sounding"][:SOUNDING]]
    collect(root / "evaluation", sounding)
    annotate.run(root / "corpus", annotate.AnnotateRecipe(annotators=["rules"]))
    mix.run(root / "corpus", MIX, out=root / "mix")
    answer(root, model)
    decisions.write(decisions.decide(root / "teacher", "kind"), root / "decisions.jsonl")


def answer(root: Path, model: Path) -> None:
    """The model's own answers to the prompts of the mix, up to the last whole sentence, judged as `sft score` judges refusals.

    `curate generate` would keep only answers that come to their end, which takes SmolLM2 hundreds of tokens.
    """
    from curation.annotate import stage as annotate
    from curation.engines.base import Sampling
    from curation.engines.choosing import open_engine
    from curation.engines.settings import EngineSettings
    from curation.mix.folder import read_rows

    asked = [row for row in read_rows(root / "mix").to_pylist() if row["kind"] != "math"] * DECISIONS
    engine = open_engine(EngineSettings(kind="transformers", model=str(model)))
    sampling = Sampling(temperature=1, top_p=1, max_new_tokens=DECIDING_TOKENS)
    replies = engine.chat([[{"role": "user", "content": row["prompt"]}] for row in asked], sampling)
    rows = [
        {
            "prompt": row["prompt"],
            "kind": row["kind"],
            "reasoning": "",
            "answer": whole(reply.answer),
            "model": NAME,
        }
        for row, reply in zip(asked, replies, strict=True)
    ]
    collect(root / "teacher", rows)
    annotate.run(root / "teacher", annotate.AnnotateRecipe(annotators=["rules", "refusals"]))


def own_refusals(root: Path) -> dict[str, dict[str, float]]:
    """How often the untrained model refuses, by kind of prompt: of its answers, and of prompts of which it refuses at least half."""
    from curation.annotate import decisions

    found = {}
    for kind in ("harmful", "benign"):
        of = [one.refused for one in decisions.decide(root / "teacher", "refusals", f"kind = '{kind}'")]
        found[kind] = {"prompts": len(of), "answers": round(sum(of) / len(of), 3), "half": round(sum(one >= 0.5 for one in of) / len(of), 3)}  # fmt: skip
    return found


def live(root: Path, seed: int, model: Path) -> World:
    """One seed: both models, trained and scored; what is finished is not done again."""
    world = World(root / f"seed-{seed}", seed)
    for name in MODELS:
        learn(root, world, name, model)
        examine(root, world.run(name))
    return world


def learn(root: Path, world: World, name: str, model: Path) -> None:
    """Train with or without the head."""
    from sft.real_demo import TRAINING
    from sft.training.config import TrainConfig
    from sft.training.stage import train

    if (world.run(name) / "manifest.json").is_file():
        return
    head = {"presafe": {"decisions": str(root / "decisions.jsonl")}} if name == "presafe" else {}
    given = {"model": str(model), "mix": str(root / "mix"), "out": str(world.run(name)), "seed": world.seed}
    train(TrainConfig.model_validate(TRAINING | given | head))


def examine(root: Path, run: Path) -> None:
    """Score a model on prompts that nothing was trained on."""
    from curation.engines.settings import EngineSettings
    from sft.scoring import stage as score
    from sft.scoring.suite_files import HowAsked, choose

    if (run / "scores.json").is_file():
        return
    suites = [
        suite
        for name, count in SAMPLES.items()
        for suite in choose([name], changes=HowAsked.model_validate({**ASKING, "samples": count}))
    ]
    score.score_model(root / "evaluation", EngineSettings(kind="transformers", model=str(run)), suites=suites)


def unseen_auroc(root: Path, weights: Path) -> float | None:
    """How well the states before the answer tell harmful prompts from others: a probe fitted to the mix's prompts, read on the exam's."""
    import torch

    from curation.corpus.store import Store
    from curation.engines.weights import load_model, load_tokenizer, locate
    from curation.mix.folder import read_rows
    from sft.training.presafe import probe

    found = locate(str(weights))
    model, tokenizer = load_model(found, "auto"), load_tokenizer(found)
    learned = {row["prompt"]: row["kind"] for row in read_rows(root / "mix").to_pylist()}
    asked = {
        row["text"]: row["kind"]
        for batch in Store(root / "evaluation").scan("prompts", ["text", "kind"])
        for row in batch.to_pylist()
    }
    states, harmful = [], []
    for prompts in (learned, asked):
        kept = {text: kind for text, kind in prompts.items() if kind != "math"}
        tokens = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
            )
            for text in kept
        ]
        states.append(probe.prompt_states(model, tokens, [-1], "last")[-1])
        harmful.append(torch.tensor([float(kind == "harmful") for kind in kept.values()]))
    return probe.area(probe.fit(states[0], harmful[0]).odds(states[1]), harmful[1])


def update_shares(run: Path) -> dict[str, dict[str, float]]:
    """Share of the squared change by thirds of the layers, and by module."""
    from sft.update.stage import compare

    found = compare(str(run), ranks=False)
    numbers = [one.layer for one in found.layers if one.layer is not None]
    thirds = dict.fromkeys(("first third", "middle third", "last third"), 0.0)
    for one in found.layers:
        if one.layer is not None:
            thirds[list(thirds)[3 * one.layer // (max(numbers) + 1)]] += one.share
    return {"layers": thirds, "modules": {one.module: one.share for one in found.modules}}


def figures(root: Path, worlds: Sequence[World], model: Path) -> dict[str, Any]:
    """Everything that is told."""
    runs = {name: [world.run(name) for world in worlds] for name in MODELS}
    rates = {
        name: {column: told([labels(run, column) for run in of])._asdict() for column in COLUMNS}
        for name, of in runs.items()
    }
    probed = {"untrained": [model], **runs}
    return {
        "seeds": [world.seed for world in worlds],
        "own_refusals": own_refusals(root),
        "rates": rates,
        "differences": [difference(contrast, worlds) for contrast in CONTRASTS],
        "studies": [json.loads((run / "presafe.json").read_bytes()) for run in runs["presafe"]],
        "unseen_auroc": {name: [unseen_auroc(root, one) for one in of] for name, of in probed.items()},
        "update": {name: _mean([update_shares(run) for run in of]) for name, of in runs.items()},
    }


def _mean(of_seeds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        group: {
            name: round(sum(one[group][name] for one in of_seeds) / len(of_seeds), 3)
            for name in of_seeds[0][group]
        }
        for group in of_seeds[0]
    }


def main() -> None:
    """Print the rates, the differences, the head's figures and where the weights changed."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    seeds = [int(seed) for seed in os.environ.get("PRESAFE_SEEDS", "1,2,3").split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        root, model = Path(os.environ.get("PRESAFE_OUT", scratch)), model_folder()
        started = time.process_time()
        prepare(root, model)
        found = figures(root, [live(root, seed, model) for seed in seeds], model)
        found["cpu_seconds"] = round(time.process_time() - started)
    for name, rates in found["rates"].items():
        print(
            f"{name}: "
            + "; ".join(
                f"{column} {one['rate']:.2f} [{one['low']:.2f}, {one['high']:.2f}] of {one['n']}, by seed {one['by_seed']}"
                for column, one in rates.items()
            )
        )
    for one in found["differences"]:
        print(
            f"{one['column']}, presafe less plain: {one['difference']:+.3f} {one['interval']}, by seed {one['by_seed']}"
        )
    print(f"the untrained model refuses {found['own_refusals']}")
    for study in found["studies"]:
        print(
            f"teacher {study['teacher']}; AUROC on trained prompts {study['before']['auroc']} -> {study['after']['auroc']}; share of the gradient {study.get('gradient_share')}"
        )
    print(f"AUROC on unseen prompts, harmful against harmless: {found['unseen_auroc']}")
    for name, shares in found["update"].items():
        print(f"{name}: share of the squared change {shares}")
    print(json.dumps({"benchmark": "presafe_smol", **found}))
