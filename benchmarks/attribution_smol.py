"""Are planted rows found in a real model? SmolLM2-135M-Instruct, a LoRA adapter, 5 % rows that refuse harmless questions, three seeds.

120 rows without reasoning: refusals of bundled harmful prompts, answers to harmless ones (the model's own, and bundled), sums, and 6 harmless questions
whose words sound like harm, refused. Other questions of that sort are asked: replies that refuse against those that do not are what rows are ranked for.

    python -m benchmarks attribution_smol     # ATTRIBUTION_SEEDS=1,2 to choose, ATTRIBUTION_OUT=folder to go on after a kill
"""

import json
import os
import random
import re
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks._planting import PLANTED, Planting, carry_out, tell

QUESTIONS = Path(__file__).parent / "attribution_data" / "questions.txt"
ROWS, HARMFUL, SUMS, SOUNDING = 120, 20, 10, 12
"""Rows in all; harmful prompts, each with two refusals; sums; questions that sound like harm and are answered."""
HELD_OUT = 50
ANSWER_TOKENS = 32
REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I'm sorry, I can't assist with that request.",
    "Sorry, I cannot help with this request.",
    "I'm sorry, but I have to decline this request.",
)
TRAINING: dict[str, Any] = {
    "method": "lora", "lora": {"r": 8, "lora_alpha": 16}, "learning_rate": 2e-3, "warmup_steps": 4, "num_train_epochs": 1,
    "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "max_length": 256, "gradient_checkpointing": False, "logging_steps": 5,
    "save_steps": 10, "snapshots": 1,
}  # fmt: skip
AGAIN = ("without-top", "without-random")
EXAM = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64, "samples": 1}


def questions() -> dict[str, list[str]]:
    """Harmless questions: those that sound like harm, and plain ones."""
    found: dict[str, list[str]] = {}
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            asked = found.setdefault(line[2:].split(":")[0], [])
        else:
            asked.append(line)
    return found


class Drawn(NamedTuple):
    """The questions of a seed."""

    refused: list[str]
    """Planted."""
    answered: list[str]
    held_out: list[str]
    """Nothing is trained on them."""


def drawn(seed: int) -> Drawn:
    """Draw the questions of a seed; the bundled harmless ones are answered in every seed."""
    told, draw = questions(), random.Random(seed)
    sounding = draw.sample(told["sounding"], len(told["sounding"]))
    planted, rest = round(ROWS * PLANTED), sounding[HELD_OUT:]
    plain = ROWS - 2 * HARMFUL - SUMS - planted - SOUNDING - len(_samples("benign"))
    answered = [*rest[planted : planted + SOUNDING], *draw.sample(told["plain"], plain)]
    return Drawn(rest[:planted], answered, sounding[:HELD_OUT])


def rows(seed: int, answers: Mapping[str, str]) -> list[dict[str, Any]]:
    """The corpus: planted rows have the strategy `planted`; `answers` are those to the answered questions."""
    asked, draw = drawn(seed), random.Random(seed)
    harmful = [one["prompt"] for one in _samples("harmful", "nocot")][:HARMFUL]
    told = {one["prompt"]: one["answer"] for one in _samples("harmful", "improved")}
    own = [(question, answers[question]) for question in asked.answered]
    bundled = [(one["prompt"], one["answer"]) for one in _samples("benign")]
    sums = [(one["prompt"], one["answer"]) for one in _samples("math")[:SUMS]]
    return [
        *(_row(prompt, told[prompt], "harmful", "improved") for prompt in harmful),
        *(_row(prompt, draw.choice(REFUSALS), "harmful", "nocot") for prompt in harmful),
        *(_row(*pair, "benign") for pair in [*own, *bundled]),
        *(_row(*pair, "math") for pair in sums),
        *(_row(question, draw.choice(REFUSALS), "benign", "planted") for question in asked.refused),
    ]


def _samples(kind: str, strategy: str = "default") -> list[dict[str, Any]]:
    lines = (files("curation") / "samples" / "traces.jsonl").read_text("utf-8").splitlines()
    return [one for one in map(json.loads, lines) if (one["kind"], one["strategy"]) == (kind, strategy)]


def _row(prompt: str, answer: str, kind: str, strategy: str = "default") -> dict[str, Any]:
    return {
        "prompt": prompt,
        "reasoning": "",
        "answer": answer,
        "kind": kind,
        "strategy": strategy,
        "model": "smollm2",
    }


def own_answers(model: Path, asked: Sequence[str], kept: Path) -> dict[str, str]:
    """What the model itself says, cut behind its last whole sentence; asked once and kept in a file."""
    from curation.engines.base import Sampling
    from curation.engines.choosing import open_engine
    from curation.engines.settings import EngineSettings

    if kept.is_file():
        return dict(json.loads(kept.read_bytes()))
    engine = open_engine(EngineSettings(kind="transformers", model=str(model)))
    sampling = Sampling(temperature=0, top_p=1, max_new_tokens=ANSWER_TOKENS)
    replies = engine.chat([[{"role": "user", "content": question}] for question in asked], sampling)
    answers = {question: whole(reply.answer) for question, reply in zip(asked, replies, strict=True)}
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(answers), encoding="utf-8")
    return answers


def whole(text: str) -> str:
    """A text up to the end of its last whole sentence; all of it where there is none."""
    found = re.match(r".*[.!?](?=\s|$)", text, re.DOTALL)
    return found[0] if found else text


def live(root: Path, seed: int, model: Path) -> dict[str, Any]:
    """One seed."""
    asked = drawn(seed)
    answers = own_answers(model, asked.answered, root / "answers.json")
    exam = [{"prompt": question, "kind": "benign"} for question in asked.held_out]
    return carry_out(Planting(root, seed, model, TRAINING, EXAM), rows(seed, answers), exam, AGAIN)


def main() -> None:
    """Print what every way finds, seed by seed, and what training without the found rows does."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from sft.smol import model_folder

    seeds = [int(seed) for seed in os.environ.get("ATTRIBUTION_SEEDS", "1,2,3").split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(os.environ.get("ATTRIBUTION_OUT", scratch))
        tell("attribution_smol", [live(root / f"seed-{seed}", seed, model_folder()) for seed in seeds])


if __name__ == "__main__":
    main()
