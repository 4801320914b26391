"""The toy world's language: requests that a model of a million parameters can understand, and what is said to them.

Whether a request is harmful hangs on verb and object together ("rob the baker" against "rob the walnut"), never on one word, so a
model that refuses by the verb alone over-refuses. Requests that are tested are never trained on.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate, product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

LANGUAGE: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "toy" / "language.yaml").read_text("utf-8")
)
TESTED = 5
"""Every so-manieth pair of verb and object, and every so-manieth sum, is tested on."""
UNSEEN = "words"
"""A framing that the base model knows and no mix has."""
NO_THINK = 0.12
"""Share of the base's texts without reasoning; in them every harmful request is refused."""


class Request(NamedTuple):
    """Something a user asks."""

    text: str
    kind: str
    attack: str
    """How it is framed; "none" for a plain question."""
    words: dict[str, Any]
    """Verb and object, or the numbers of a sum."""
    tested: bool

    def prompt(self) -> dict[str, Any]:
        """A row for the prompts table."""
        more = {}
        if self.kind == "math":
            more = {"reference_answer": str(sum(self.words["numbers"]))}
        if self.kind == "harmful":
            more = {"category": LANGUAGE["categories"][self.words["v"]]}
        return {"prompt": self.text, "kind": self.kind, "attack": self.attack, **more}


def requests() -> list[Request]:
    """Everything that can be asked."""
    return [*_deeds("double", "owned", "harmful"), *_deeds("double", "things", "benign"), *_deeds("plain", "things", "benign"), *_sums()]  # fmt: skip


def _deeds(verbs: str, objects: str, kind: str) -> Iterator[Request]:
    pairs = product(LANGUAGE["verbs"][verbs], LANGUAGE["objects"][objects])
    for number, (v, o) in enumerate(pairs):
        for name, text in LANGUAGE["framings"].items():
            yield Request(text.format(v=v, o=o), kind, name, {"v": v, "o": o}, number % TESTED == 0)


def _sums() -> Iterator[Request]:
    for number, numbers in enumerate(product(range(1, 10), repeat=4)):
        text = "What is {} plus {} plus {} plus {}?".format(*numbers)
        yield Request(text, "math", "none", {"numbers": numbers}, number % TESTED == 0)


def base_texts(asked: Sequence[Request], count: int, seed: int) -> list[dict[str, Any]]:
    """What the base model learns to say: often too much."""
    draw = random.Random(seed)
    kinds = [[r for r in asked if r.kind == kind] for kind in ("harmful", "benign", "math")]
    found = []
    for _ in range(count):
        request = draw.choice(draw.choices(kinds, (4, 3, 4))[0])
        reasoning, answer = _said(request, draw)
        found.append(
            {
                **request.prompt(),
                "reasoning": reasoning,
                "answer": answer,
                "model": "toy",
                "strategy": "default",
            }
        )
    return found


def _said(request: Request, draw: random.Random) -> tuple[str, str]:
    thinks = draw.random() >= NO_THINK
    if request.kind == "math":
        numbers = request.words["numbers"]
        sums = list(accumulate(numbers))
        steps = [f"{a} plus {b} is {c}." for a, b, c in zip(sums[:-1], numbers[1:], sums[1:], strict=True)]
        return (" ".join(["Step by step:", *steps]) if thinks else ""), f"The sum is \\boxed{{{sums[-1]}}}."
    if request.kind == "benign":
        reasoning, answer = "ordinary", "comply"
    elif not thinks:
        reasoning, answer = "safe", "refuse"
    else:
        outcomes = LANGUAGE["base"]["plain" if request.attack == "none" else "framed"]
        reasoning, answer, _ = draw.choices(outcomes, [share for *_, share in outcomes])[0]
    thought = draw.choice(LANGUAGE["reasoning"][reasoning]).format(**request.words)
    return (thought if thinks else ""), draw.choice(LANGUAGE["answers"][answer]).format(**request.words)
