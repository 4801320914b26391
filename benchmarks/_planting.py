"""An experiment with planted rows: train on them, rank the rows for what they caused, and train again without the rows that were found.

What `attribution` does in the toy world and `attribution_smol` on a real model. A seed that is finished is kept as `result.json` in its folder.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import numpy as np

from benchmarks.toy_world import collect

PLANTED = 0.05
WAYS: Mapping[str, dict[str, Any]] = {
    "gradients": {},
    "gradients, cosine": {"similarity": "cosine"},
    "states": {"method": "states"},
    "loss": {"method": "loss"},
}
"""The first is what `sft attribute` does unasked; its influence is what mixes are built by."""
MIXES: Mapping[str, tuple[str, float]] = {
    "without-top": (f"coalesce(influence['overrefusal'].share, 1) > {PLANTED}", 1),
    "without-random": ("true", 1 - PLANTED),
    "without-planted": ("strategy <> 'planted'", 1),
}
"""What is trained on after the rows were ranked: a condition, and the share of all rows to draw at random."""
DRAWS = 2000


class Planting(NamedTuple):
    """One seed of an experiment."""

    root: Path
    seed: int
    base: Path
    """The model that is trained."""
    training: dict[str, Any]
    """Settings of `sft run`."""
    asking: dict[str, Any]
    """How held-out questions are asked."""

    @property
    def corpus(self) -> Path:
        """What the mixes are built from."""
        return self.root / "corpus"

    @property
    def exam(self) -> Path:
        """The questions that nothing is trained on, and the replies."""
        return self.root / "exam"

    def run(self, name: str) -> Path:
        """The run of a model."""
        return self.root / "runs" / name


def carry_out(
    one: Planting,
    rows: Sequence[dict[str, Any]],
    asked: Sequence[dict[str, Any]],
    again: Sequence[str] = tuple(MIXES),
) -> dict[str, Any]:
    """One seed, from rows to what training without the found ones did; what was finished is not done again.

    Args:
        one: the seed.
        rows: traces to train on; planted ones have the strategy `planted`.
        asked: harmless prompts to measure refusals on.
        again: what to train on after ranking, of `MIXES`.
    """
    kept = one.root / "result.json"
    if kept.is_file():
        return dict(json.loads(kept.read_bytes()))
    collect(one.corpus, rows)
    collect(one.exam, asked)
    learn(one, "planted", "true")
    examine(one, ["planted"])
    started = process_time()
    found = attributed(one)
    seconds = process_time() - started
    for name in again:
        where, share = MIXES[name]
        learn(one, name, where, "all" if share == 1 else round(len(rows) * share))
    examine(one, again)
    labels = {name: refusing(one.run(name)) for name in ("planted", *again)}
    told = {"seed": one.seed, **found, "cpu_seconds_of_attribution": round(seconds, 1), "labels": labels}
    kept.write_text(json.dumps(told) + "\n", encoding="utf-8")
    return told


def learn(one: Planting, name: str, where: str, take: int | str = "all") -> None:
    """Build a mix of the corpus and train on it."""
    from curation.mix import build as mix
    from sft.training.config import TrainConfig
    from sft.training.stage import train

    recipe, built = one.root / f"{name}.yaml", one.root / "mixes" / name
    parts = {"all": {"where": where, "take": take}}
    recipe.write_text(json.dumps({"name": name, "seed": one.seed, "parts": parts}), encoding="utf-8")
    mix.run(one.corpus, recipe, out=built)
    given = {"model": str(one.base), "mix": str(built), "out": str(one.run(name)), "seed": one.seed}
    train(TrainConfig.model_validate(one.training | given))


def examine(one: Planting, names: Sequence[str]) -> None:
    """Score models on the held-out questions."""
    from curation.engines.settings import EngineSettings
    from sft.scoring import stage as score
    from sft.scoring.suite_files import HowAsked, choose

    suites = choose(["overrefusal"], changes=HowAsked.model_validate(one.asking))
    for name in names:
        score.score_model(
            one.exam, EngineSettings(kind="transformers", model=str(one.run(name))), suites=suites
        )


def attributed(one: Planting) -> dict[str, Any]:
    """Which rows are planted, and the scores of all by every way; the first way's influence stays in the corpus."""
    from curation.mix.folder import read_rows
    from sft.attribution import ranking
    from sft.attribution.recipe import AttributeRecipe
    from sft.attribution.stage import FOLDER, attribute

    known = {
        row["row_id"]: row["strategy"] == "planted"
        for row in read_rows(one.root / "mixes" / "planted").to_pylist()
    }
    run, scores = one.run("planted"), {}
    for name, how in reversed(WAYS.items()):
        recipe = AttributeRecipe.model_validate({"suite": "overrefusal", **how})
        made = attribute(run, run, one.exam, recipe, corpus=one.corpus)
        lines = ranking.read_table(run / FOLDER / str(made.summary["file"])).to_pylist()
        by_row = {line["row_id"]: line["influence"] for line in lines}
        scores[name] = [by_row[key] for key in sorted(by_row)]
    return {"planted": [known[key] for key in sorted(by_row)], "scores": scores}


def refusing(run: Path) -> dict[str, float]:
    """prompt -> the share of its judged replies that refuse."""
    from sft.comparison import stage as compare
    from sft.scoring.measures import MEASURES

    (scored,) = compare.load([run])
    replies: dict[str, list[float]] = {}
    for outcome in scored.outcomes:
        label = outcome.measures.get(MEASURES["refuses"].title)
        if label is not None:
            replies.setdefault(outcome.prompt_id, []).append(float(label))
    return {key: sum(labels) / len(labels) for key, labels in replies.items()}


def precision(worlds: Sequence[dict[str, Any]], way: str, base: str | None = None) -> dict[str, Any]:
    """A way's average precision, less another's if one is given: the mean over seeds, by seed, and a 95 % bootstrap interval over rows.

    Planted and other rows are drawn apart, with replacement, within each seed.
    """
    from sft.attribution import quality

    def gain(world: dict[str, Any], places: np.ndarray | slice) -> float:
        truth = np.array(world["planted"])[places]
        found = [
            quality.average_precision(truth.tolist(), np.array(world["scores"][name])[places].tolist())
            for name in (way, base)
            if name
        ]
        return found[0] - sum(found[1:])

    draw = np.random.default_rng(0)
    drawn = [np.mean([gain(world, _again(world["planted"], draw)) for world in worlds]) for _ in range(DRAWS)]
    by_seed = [gain(world, slice(None)) for world in worlds]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"way": way, "base": base, "value": round(float(np.mean(by_seed)), 3), "interval": [round(float(low), 3), round(float(high), 3)], "by_seed": [round(value, 3) for value in by_seed]}  # fmt: skip


def _again(planted: Sequence[bool], draw: np.random.Generator) -> np.ndarray:
    sides = [np.flatnonzero(np.array(planted) == side) for side in (True, False)]
    return np.concatenate([draw.choice(side, len(side)) for side in sides])


def contrast(worlds: Sequence[dict[str, Any]], model: str, base: str = "planted") -> dict[str, Any]:
    """A model's rate less another's on the same prompts, with a 95 % bootstrap interval over prompts."""
    by_prompt: dict[str, list[float]] = {}
    by_seed = []
    for one in worlds:
        first, second = one["labels"][model], one["labels"][base]
        differences = {key: float(first[key]) - float(second[key]) for key in first.keys() & second.keys()}
        by_seed.append(round(float(np.mean(list(differences.values()))), 3))
        for key, value in differences.items():
            by_prompt.setdefault(key, []).append(value)
    means = np.array([np.mean(by_prompt[key]) for key in sorted(by_prompt)])
    drawn = np.random.default_rng(0).choice(means, (4000, len(means))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"model": model, "base": base, "value": round(float(means.mean()), 3), "interval": [round(float(low), 3), round(float(high), 3)], "by_seed": by_seed}  # fmt: skip


def tell(name: str, worlds: Sequence[dict[str, Any]]) -> None:
    """Print what every way finds, and what training without the found rows does."""
    from sft.attribution import quality

    first = next(iter(WAYS))
    ways = [precision(worlds, way) for way in WAYS]
    gains = [precision(worlds, first, way) for way in WAYS if way != first]
    for one in ways:
        chance = [quality.chance(world["planted"], world["scores"][one["way"]]) for world in worlds]
        found = [quality.recovered(world["planted"], world["scores"][one["way"]]) for world in worlds]
        one |= {"p": [round(p, 4) for p in chance], "recovered": [round(share, 3) for share in found]}
        print(f"{one['way']}: average precision {one['value']} {one['interval']}, by seed {one['by_seed']}, p {one['p']}, recovered {one['recovered']}; chance {PLANTED}")  # fmt: skip
    for one in gains:
        print(f"{first} less {one['base']}: {one['value']:+} {one['interval']}, by seed {one['by_seed']}")
    rates = [{model: round(float(np.mean(list(of.values()))), 3) for model, of in world["labels"].items()} for world in worlds]  # fmt: skip
    for world, of in zip(worlds, rates, strict=True):
        print(f"seed {world['seed']}: over-refusal {of} of {len(world['labels']['planted'])} prompts; attribution {world['cpu_seconds_of_attribution']} CPU s")  # fmt: skip
    again = [model for model in MIXES if model in worlds[0]["labels"]]
    pairs = [(model, "planted") for model in again] + [("without-top", "without-random")]
    contrasts = [contrast(worlds, *pair) for pair in pairs]
    for one in contrasts:
        print(
            f"{one['model']} less {one['base']}: {one['value']:+} {one['interval']}, by seed {one['by_seed']}"
        )
    print(
        json.dumps({"benchmark": name, "ways": ways, "gains": gains, "rates": rates, "contrasts": contrasts})
    )
