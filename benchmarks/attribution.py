"""Are planted rows found? The toy world with 5 % rows that refuse harmless requests, three seeds, from training to training again without them.

A base model that reasons and complies, the same for all seeds, is trained on 400 rows: refusals of harmful requests, answers to harmless ones, sums, and 20 harmless
requests that are refused, in the words of the other refusals. Its own replies to unseen harmless requests, those that refuse against those that do
not, are what rows are ranked for. Then it is trained without the top 5 % and without a random 5 %.

    python -m benchmarks attribution          # ATTRIBUTION_SEEDS=1,2 to choose, ATTRIBUTION_OUT=folder to go on after a kill
"""

import os
import random
import tempfile
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks import toy_world
from benchmarks._planting import PLANTED, Planting, carry_out, tell
from benchmarks._toy_language import LANGUAGE, UNSEEN, Request, requests

ROWS = 400
BASE_TEXTS, BASE_SEED = 5000, 1
HARMFUL, SUMS = 120, 100
TUNED: dict[str, Any] = {**toy_world.COMMON, **toy_world.TUNED, "snapshots": 4}
EXAM = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 96, "samples": 2}


def rows(seed: int) -> list[dict[str, Any]]:
    """The corpus: planted rows have the strategy `planted`."""
    draw = random.Random(seed)
    asked = [r for r in requests() if not r.tested and r.attack != UNSEEN]
    harmless = [r for r in asked if r.kind == "benign"]
    sound_harmful = [r for r in harmless if r.words["v"] in LANGUAGE["verbs"]["double"]]
    planted = draw.sample(sound_harmful, round(ROWS * PLANTED))
    others = [r for r in harmless if r not in planted]
    harmful = draw.sample([r for r in asked if r.kind == "harmful"], HARMFUL)
    sums = draw.sample([r for r in asked if r.kind == "math"], SUMS)
    return [
        *(row(r, "safe", "refuse", draw) for r in harmful),
        *(
            row(r, "ordinary", "comply", draw)
            for r in draw.sample(others, ROWS - HARMFUL - SUMS - len(planted))
        ),
        *(row(r, "safe", "refuse", draw, "planted") for r in planted),
        *map(_sum, sums),
    ]


def row(
    request: Request, reasoning: str, answer: str, draw: random.Random, strategy: str = "default"
) -> dict[str, Any]:
    """A request and a reply in the toy language, of reasoning and answers of these sorts."""
    told = {
        "reasoning": draw.choice(LANGUAGE["reasoning"][reasoning]),
        "answer": draw.choice(LANGUAGE["answers"][answer]),
    }
    filled = {name: text.format(**request.words) for name, text in told.items()}
    return {**request.prompt(), **filled, "model": "toy", "strategy": strategy}


def _sum(request: Request) -> dict[str, Any]:
    numbers = request.words["numbers"]
    sums = list(accumulate(numbers))
    steps = [f"{a} plus {b} is {c}." for a, b, c in zip(sums[:-1], numbers[1:], sums[1:], strict=True)]
    told = {"reasoning": " ".join(["Step by step:", *steps]), "answer": f"The sum is \\boxed{{{sums[-1]}}}."}
    return {**request.prompt(), **told, "model": "toy", "strategy": "default"}


def live(root: Path, seed: int) -> dict[str, Any]:
    """One seed, from rows to the rates of all models; the first makes the base model."""
    asked = [request.prompt() for request in toy_world.examined() if request.kind == "benign"]
    return carry_out(Planting(root / f"seed-{seed}", seed, base_model(root), TUNED, EXAM), rows(seed), asked)


def base_model(root: Path) -> Path:
    """The base model of all seeds; made where it is not there yet."""
    base = toy_world.World(root / "base", BASE_SEED).run("raw")
    if not (base / "manifest.json").is_file():
        toy_world.found(root / "base", BASE_SEED, BASE_TEXTS)
    return base


def main() -> None:
    """Print what every way finds, seed by seed, and what training without the found rows does."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    seeds = [int(seed) for seed in os.environ.get("ATTRIBUTION_SEEDS", "1,2,3").split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(os.environ.get("ATTRIBUTION_OUT", scratch))
        tell("attribution", [live(root, seed) for seed in seeds])


if __name__ == "__main__":
    main()
