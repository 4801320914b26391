"""Do influences predict what training on other rows gives? The linear data-modelling score (arXiv 2303.14186) in the toy world.

The rows of `attribution`, planted ones included, and random halves of them that the same base model is trained on. What is predicted, and measured on each of
the trained models, is how much likelier than an answer a refusal of a harmless request is: of 20 requests that are in no mix. No reply is generated.
Then the same with influences that are means over three runs, as `sft attribute --also` takes them.

    python -m benchmarks attribution_subsets  # ATTRIBUTION_SEEDS=1, ATTRIBUTION_SUBSETS=16 to choose, ATTRIBUTION_OUT=folder to go on after a kill
"""

import json
import os
import random
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from time import process_time

from benchmarks import attribution, toy_world
from curation.console import plain
from sft.attribution.behaviours import Behaviour, Replied
from sft.attribution.self_test import SelfTest

PROBES = 20
FURTHER = (101, 102)
"""Seeds of two more runs on all rows."""


def probes(seed: int) -> list[Behaviour]:
    """Refusing a request that is in no mix, against answering it."""
    draw = random.Random(seed)
    asked = draw.sample([one for one in toy_world.examined() if one.kind == "benign"], PROBES)
    found = []
    for request in asked:
        refused, answered = (
            attribution.row(request, *how, draw) for how in (("safe", "refuse"), ("ordinary", "comply"))
        )
        replies = (
            Replied(told["prompt"], told["reasoning"], told["answer"], weight)
            for told, weight in ((refused, 1.0), (answered, -1.0))
        )
        found.append(Behaviour(request.text, tuple(replies)))
    return found


def live(root: Path, seed: int, subsets: int, also: Sequence[int] = ()) -> SelfTest:
    """One seed: train on all rows and on halves of them, and compare; what was trained is not trained again."""
    from curation.mix import build as mix
    from sft.attribution.planting import PlantedMix
    from sft.attribution.self_test import SelfTestRecipe, of_planted
    from sft.proof.mix import read_mix
    from sft.training.config import TrainConfig

    folder, base = root / f"subsets-{seed}", attribution.base_model(root)
    toy_world.collect(folder / "corpus", attribution.rows(seed))
    recipe = {"name": "all", "seed": seed, "parts": {"all": {"where": "true"}}}
    (folder / "all.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    mix.run(folder / "corpus", folder / "all.yaml", out=folder / "mix")
    given = {"model": str(base), "mix": str(folder / "mix"), "out": str(folder / "run"), "seed": seed}
    built = read_mix(folder / "mix")
    return of_planted(
        TrainConfig.model_validate(attribution.TUNED | given),
        PlantedMix(list(built.rows), [], probes(seed)),
        built.mix_id,
        SelfTestRecipe(subsets=subsets, seed=seed),
        folder,
        also,
    )


def main() -> None:
    """Print the score of every method, seed by seed."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from sft.attribution.self_test import show

    subsets = int(os.environ.get("ATTRIBUTION_SUBSETS", "16"))
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(os.environ.get("ATTRIBUTION_OUT", scratch))
        seeds = [int(seed) for seed in os.environ.get("ATTRIBUTION_SEEDS", "1").split(",")]
        for seed, also in product(seeds, ((), FURTHER)):
            started = process_time()
            found = live(root, seed, subsets, also)
            show(found)
            told = {"benchmark": "attribution_subsets", "seed": seed, "runs": 1 + len(also), "subsets": subsets, "cpu_seconds": round(process_time() - started, 1)}  # fmt: skip
            print(json.dumps(told | {"methods": plain(found.methods)}))


if __name__ == "__main__":
    main()
