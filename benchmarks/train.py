"""Training: `sft run`'s trainer against stock TRL on the same token ids, padded and packed, and what PreSafe's head, token weights and KL to the base cost.

Each variant runs in a process of its own, in turns and in alternating order; a step's CPU time is the least of all rounds, which other work
on the machine touches least, and the first steps of a process do not count. Rows are cut from the bundled samples, of uneven lengths
(log-normal, as refusals beside whole chains of thought are). Stock TRL gets ids and labels, so that neither side tokenises. KL is on every
row, and `forward` is one forward pass without gradient on the same batches: what KL may cost. Full training, one thread.

    python -m benchmarks train                # TRAIN_MODELS=tiny,smollm2 and TRAIN_ROUNDS=4 to choose
"""

import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")


class Size(NamedTuple):
    """How much of a model is measured."""

    steps: int
    warm: int
    """Steps of a process that do not count."""
    batch: int
    longest: int
    """Tokens of the longest row, and of a packed sequence."""
    median: int
    rounds: int


SIZES = {"tiny": Size(20, 3, 4, 512, 90, 4), "smollm2": Size(5, 1, 2, 256, 60, 2)}
VARIANTS = ("stock", "ours", "presafe", "weights", "kl", "forward", "stock packed", "ours packed")
COSTS = ("presafe", "weights", "kl", "forward")


class Measured(NamedTuple):
    """What a process measured."""

    seconds: list[float]
    """CPU time of each step that counts."""
    tokens: list[int]
    """Of rows, without padding."""
    peak: int
    """Of the process's memory in MB."""


def rows(tokenizer: Any, size: Size) -> list[Any]:
    """As many rows as `size` has steps and batches for, cut from the samples' tokens one after another."""
    from sft.proof.render import IGNORED, RenderedRow, render

    text = (files("curation") / "samples" / "traces.jsonl").read_text("utf-8")
    samples = [json.loads(line) for line in text.splitlines()]
    stream = [
        token
        for row in samples
        for token in render(tokenizer, row["prompt"], row["reasoning"], row["answer"]).input_ids
    ]
    draw = random.Random(0)
    drawn = [draw.lognormvariate(math.log(size.median), 1) for _ in range(size.steps * size.batch)]
    lengths = [max(16, min(size.longest, round(length))) for length in drawn]
    starts = [sum(lengths[:number]) % (len(stream) - size.longest) for number in range(len(lengths))]
    cut = [stream[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    return [RenderedRow(ids, [IGNORED] * 10 + ids[10:], 10) for ids in cut]


def model_of(name: str, folder: Path) -> Path:
    """The folder of a model: SmolLM2, or a tiny one made in `folder`."""
    from sft import smol
    from sft.tiny import make_model, make_tokenizer, own_family

    if name == "smollm2":
        return smol.model_folder()
    text = (files("curation") / "samples" / "traces.jsonl").read_text("utf-8")
    make_model(folder, make_tokenizer(own_family(), text.splitlines(), 1024), hidden=256, layers=4)
    return folder


def trainer_of(variant: str, name: str, model: Path, scratch: Path) -> Any:
    """The trainer of a variant."""
    from curation.engines.weights import load_model, load_tokenizer, locate
    from sft.training import trainer

    size, weights = SIZES[name], locate(str(model))
    loaded, tokenizer = load_model(weights, "float32"), load_tokenizer(weights)
    made = rows(tokenizer, size)
    common: dict[str, Any] = {
        "per_device_train_batch_size": 1 if "packed" in variant else size.batch, "gradient_accumulation_steps": 1, "bf16": False,
        "gradient_checkpointing": False, "save_steps": 10_000, "learning_rate": 1e-4, "logging_steps": 1, "packing": "packed" in variant,
    }  # fmt: skip
    if "stock" in variant:
        return stock(loaded, tokenizer, made, common, scratch, size)
    config, refused, of_tokens = ours(variant, common, made, size)
    return trainer.build(config, loaded, tokenizer, made, scratch, refused, of_tokens=of_tokens)


def ours(variant: str, common: Mapping[str, Any], made: Sequence[Any], size: Size) -> tuple[Any, Any, Any]:
    """Our config, the teacher's decisions and the columns of a variant."""
    from sft.proof.weights import TokenWeights, WeightRule
    from sft.training.config import KlToBase, PresafeConfig, TrainConfig

    config = TrainConfig(
        model="unused",
        mix="unused",
        out="unused",
        max_length=size.longest,
        lr_scheduler_type="linear",
        **common,
    )
    if variant == "presafe":
        head = {"presafe": PresafeConfig(decisions="unused")}
        return config.model_copy(update=head), [float(number % 2) for number in range(len(made))], {}
    if variant == "weights":
        rule = {"token_weights": TokenWeights(rules=(WeightRule(of="all", weight=1),))}
        weights = [[n % 3 / 2 for n in range(len(row.input_ids))] for row in made]
        return config.model_copy(update=rule), None, {"token_weights": weights}
    if variant == "kl":
        every = [[1.0] * len(row.input_ids) for row in made]
        return config.model_copy(update={"kl_to_base": KlToBase()}), None, {"anchored": every}
    return config, None, {}


def stock(
    loaded: Any, tokenizer: Any, made: Sequence[Any], common: Mapping[str, Any], scratch: Path, size: Size
) -> Any:
    """TRL's own trainer."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    columns = {"input_ids": [row.input_ids for row in made], "labels": [row.labels for row in made]}
    arguments = SFTConfig(
        output_dir=str(scratch), num_train_epochs=1, max_length=size.longest, lr_scheduler_type="linear", seed=42,
        report_to="none", use_cpu=True, disable_tqdm=True, **common,
    )  # fmt: skip
    return SFTTrainer(
        model=loaded, args=arguments, train_dataset=Dataset.from_dict(columns), processing_class=tokenizer
    )


def measured(variant: str, name: str, model: Path) -> Measured:
    """Train a variant in this process."""
    with tempfile.TemporaryDirectory() as scratch:
        trainer = trainer_of(variant, name, model, Path(scratch))
        ends = forwards(trainer) if variant == "forward" else steps(trainer)
    warm = SIZES[name].warm
    return Measured(
        [
            round(second - first, 4)
            for (first, _), (second, _) in zip(ends[warm:], ends[warm + 1 :], strict=False)
        ],
        [second - first for (_, first), (_, second) in zip(ends[warm:], ends[warm + 1 :], strict=False)],
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


def steps(trainer: Any) -> list[tuple[float, int]]:
    """CPU time and tokens before the first step and after each."""
    from transformers import TrainerCallback

    ends: list[tuple[float, int]] = []

    class Clock(TrainerCallback):
        """Looks at the clock where a step ends."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            ends.append((time.process_time(), 0))

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append((time.process_time(), int(trainer._total_train_tokens)))

    trainer.add_callback(Clock())
    trainer.train()
    return ends


def forwards(trainer: Any) -> list[tuple[float, int]]:
    """The same of forward passes alone."""
    import torch

    ends = [(time.process_time(), 0)]
    with torch.no_grad():
        for batch in trainer.get_train_dataloader():
            trainer.model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
            )
            ends.append((time.process_time(), ends[-1][1] + int(batch["attention_mask"].sum())))
    return ends


def in_a_process(variant: str, name: str, model: Path) -> Measured:
    """Measure a variant in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.train", variant, name, str(model)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{variant} on {name}: {done.stderr[-2000:]}")
    return Measured(*json.loads(done.stdout.splitlines()[-1]))


def best(rounds: Sequence[Measured]) -> dict[str, Any]:
    """The least time of each step over all rounds, and the median of the peaks."""
    seconds = sum(min(of_step) for of_step in zip(*(one.seconds for one in rounds), strict=True))
    tokens = sum(rounds[0].tokens)
    return {
        "ms_per_token": round(1000 * seconds / tokens, 4),
        "by_round": [round(1000 * sum(one.seconds) / tokens, 4) for one in rounds],
        "tokens": tokens,
        "peak_mb": sorted(one.peak for one in rounds)[len(rounds) // 2],
    }


def measure(name: str, rounds: int | None = None, variants: Sequence[str] = VARIANTS) -> dict[str, Any]:
    """A model's variants in turns, every other round the other way round."""
    with tempfile.TemporaryDirectory() as scratch:
        model = model_of(name, Path(scratch) / "model")
        found: dict[str, list[Measured]] = {variant: [] for variant in variants}
        for number in range(rounds or SIZES[name].rounds):
            for variant in variants[:: -1 if number % 2 else 1]:
                found[variant].append(in_a_process(variant, name, model))
    told = {variant: best(of) for variant, of in found.items()}
    return {"model": name, "variants": told, "ratios": ratios(told)}


def ratios(told: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Throughput against stock TRL, and what each addition costs of a step of ours."""
    of = {variant: one["ms_per_token"] for variant, one in told.items()}
    return {
        "throughput": round(of["stock"] / of["ours"], 3),
        "throughput packed": round(of["stock packed"] / of["ours packed"], 3),
        "packing gain": round(of["ours"] / of["ours packed"], 2),
        **{name: round(of[name] / of["ours"] - (name != "forward"), 3) for name in COSTS},
    }


def main() -> None:
    """Print a table for each model, and the figures as a JSON line."""
    rounds = int(os.environ.get("TRAIN_ROUNDS", "0")) or None
    for name in os.environ.get("TRAIN_MODELS", "tiny,smollm2").split(","):
        found = measure(name, rounds)
        for variant, one in found["variants"].items():
            print(
                f"{name}, {variant}: {one['ms_per_token']} CPU-ms a token {one['by_round']}, peak {one['peak_mb']} MB"
            )
        said = found["ratios"]
        print(
            f"{name}: throughput {said['throughput']} of stock TRL, packed {said['throughput packed']} (target: 0.98); PreSafe's head costs "
            f"{said['presafe']:.1%} of a step (target: 5 %), token weights {said['weights']:.1%} (3 %), KL {said['kl']:.1%} "
            f"(3 % and one forward, which is {said['forward']:.1%}); packing trains {said['packing gain']} times as many tokens a second"
        )
        print(json.dumps({"benchmark": "train", **found}), flush=True)


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
