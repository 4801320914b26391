"""What training on a reasoning structure does to a toy model: one mix as it is, and rewritten into each shipped structure.

The toy world's base model, its answers that refuse and benign ones, and three mixes of the very same rows: `guarded` (plain), `alt` and
`template`. Each trains a model for as many steps on as many rows; what is asked was never trained on. Told is how many replies have every
part of the structure in its place, attack success and over-refusal. Sums are never rewritten.

    python -m benchmarks structures           # STRUCTURES_SEEDS=1,2, STRUCTURES_TEXTS=2000 and STRUCTURES_OUT=folder to choose
"""

import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from annotators.structure.grammar import Structure, shipped
from benchmarks import toy_world
from benchmarks.toy_world import Contrast, World

TEXTS = int(os.environ.get("STRUCTURES_TEXTS", "4000"))
PLAIN = "guarded"
STRUCTURES = ("alt", "template")
SUITES = ("safety", "overrefusal")
TUNED = {"learning_rate": 1e-3, "num_train_epochs": 8}
"""A new form takes more than the toy world's thirty steps: after them no reply had one."""
TOKENS = 160
"""Of a reply; a filled-in template is longer than what the toy world says."""
REPEATED = 200
"""How often the tokenizer's texts have the words of the structures, so that they are few tokens."""
CONTRASTS = tuple(
    Contrast(column, structure, PLAIN, "") for structure in STRUCTURES for column in ("ASR", "over-refusal")
)


class Told(NamedTuple):
    """A rate over all seeds."""

    rate: float
    low: float
    high: float
    n: int
    by_seed: list[float]

    def __str__(self) -> str:
        return f"{self.rate:.2f} [{self.low:.2f}, {self.high:.2f}]"


def live(root: Path, seed: int, texts: int = TEXTS) -> World:
    """One seed, from nothing to scores; goes on where it was stopped."""
    world = World(root, seed)
    if not (world.run("raw") / "manifest.json").is_file():
        world = toy_world.found(root, seed, texts, [_words(shipped(name)) for name in STRUCTURES] * REPEATED)
    toy_world.speak(world, {"as_is": 4})
    toy_world.curate(world, [PLAIN, *STRUCTURES], TUNED)
    toy_world.examine(world, ["raw", PLAIN, *STRUCTURES], SUITES, TOKENS)
    return world


def _words(structure: Structure) -> str:
    """Everything that a structure itself writes."""
    return "\n".join(f"{part.mark} {value}." for part in structure.parts for value in part.values or ("",))


def conforming(world: World, model: str, structure: str) -> dict[str, bool]:
    """prompt -> whether the model's reply has every part of the structure in its place; a reply without reasoning has none."""
    from annotators.structure.grammar import parse
    from curation.corpus.store import Store
    from sft.comparison import stage as compare

    (scored,) = compare.load([world.run(model)])
    asked = {outcome.trace_id: outcome.prompt_id for outcome in scored.outcomes}
    return {
        asked[row["trace_id"]]: not parse(shipped(structure), row["reasoning"] or "").faults
        for batch in Store(world.exam).scan("traces", ["trace_id", "reasoning"])
        for row in batch.to_pylist()
        if row["trace_id"] in asked
    }


def told(of_seeds: Sequence[Mapping[str, bool]]) -> Told:
    """The rate, with a 95 % interval whose unit is the prompt."""
    from sft.scoring.statistics import clustered

    by_prompt: dict[str, list[bool]] = defaultdict(list)
    for labels in of_seeds:
        for key, label in labels.items():
            by_prompt[key].append(label)
    replies = [label for labels in by_prompt.values() for label in labels]
    low, high = clustered(list(by_prompt.values()))
    by_seed = [round(sum(labels.values()) / len(labels), 3) for labels in of_seeds]
    return Told(sum(replies) / len(replies), low, high, len(replies), by_seed)


def measured(worlds: Sequence[World]) -> dict[str, dict[str, Told]]:
    """Model -> each rate."""
    found: dict[str, dict[str, Told]] = {}
    for model in ("raw", PLAIN, *STRUCTURES):
        found[model] = {
            column: told([toy_world.labels(world.run(model), column) for world in worlds])
            for column in ("ASR", "over-refusal")
        }
        for structure in STRUCTURES:
            found[model][f"conforms to {structure}"] = told(
                [conforming(world, model, structure) for world in worlds]
            )
    return found


def main() -> None:
    """Print a line for each model, and the difference of each structure to the plain mix."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    seeds = [int(seed) for seed in os.environ.get("STRUCTURES_SEEDS", "1,2,3").split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(os.environ.get("STRUCTURES_OUT", scratch))
        started = time.process_time()
        worlds = [live(root / f"seed-{seed}", seed) for seed in seeds]
        seconds = time.process_time() - started
        found = measured(worlds)
        differences = [toy_world.difference(contrast, worlds) for contrast in CONTRASTS]
    for model, rates in found.items():
        print(
            f"{model}: "
            + "; ".join(f"{name} {rate} of {rate.n}, by seed {rate.by_seed}" for name, rate in rates.items())
        )
    for one in differences:
        low, high = one["interval"]
        print(
            f"{one['column']}, {one['model']} less plain: {one['difference']:+.3f} [{low:+.3f}, {high:+.3f}], by seed {one['by_seed']}"
        )
    rates = {model: {name: rate._asdict() for name, rate in of.items()} for model, of in found.items()}
    print(
        json.dumps(
            {
                "benchmark": "structures",
                "cpu_seconds": round(seconds),
                "texts": TEXTS,
                "rates": rates,
                "differences": differences,
            }
        )
    )
