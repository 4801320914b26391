"""Training throughput: `sft run`'s trainer against stock TRL on the same rows, what PreSafe's head, token weights and KL to the base cost, and
what packing gains.

The same tiny model, rows, batch and number of steps in turns, in one process and one thread; only `train()` is timed, by CPU time, which other
work on the machine touches least. KL is on every other row. Stock TRL gets the rows as
prompt and completion texts and tokenises them itself before. The ratio is of the best of each. Packing is measured on rows of uneven
lengths (log-normal, as refusals beside whole chains of thought are), each once in either run; its gain is in tokens of rows, not of
padding, per second. The samples' own rows are about equally long, and packing them gains nothing.

    python -m benchmarks train
"""

import json
import math
import os
import random
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

STEPS = 20
BATCH = 4
ROUNDS = 4
LENGTH = 512


def rows() -> list[dict[str, str]]:
    """The bundled samples."""
    text = (files("curation") / "samples" / "traces.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()][: STEPS * BATCH]


def setting(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and config of both sides."""
    from sft.tiny import make_model, make_tokenizer, own_family
    from sft.training.config import TrainConfig

    samples = rows()
    tokenizer = make_tokenizer(
        own_family(), ["\n".join([r["prompt"], r["reasoning"], r["answer"]]) for r in samples], 1024
    )
    make_model(folder / "model", tokenizer, hidden=256, layers=4)
    config = TrainConfig(
        model=str(folder / "model"), mix="unused", out=str(folder / "out"), max_steps=STEPS, per_device_train_batch_size=BATCH,
        gradient_accumulation_steps=1, bf16=False, gradient_checkpointing=False, max_length=LENGTH, save_steps=10_000,
        learning_rate=1e-3, logging_steps=1,
    )  # fmt: skip
    return tokenizer, config


def rendered_rows(tokenizer: Any) -> list[Any]:
    """The samples as token ids, at most LENGTH each."""
    from sft.proof.render import render

    found = [render(tokenizer, row["prompt"], row["reasoning"], row["answer"]) for row in rows()]
    return [row._replace(input_ids=row.input_ids[:LENGTH], labels=row.labels[:LENGTH]) for row in found]


def uneven_rows(tokenizer: Any) -> list[Any]:
    """Rows of log-normal lengths (median 90 tokens, sigma 1, at most LENGTH), cut from the samples' tokens one after another."""
    from sft.proof.render import IGNORED, RenderedRow

    stream = [token for row in rendered_rows(tokenizer) for token in row.input_ids]
    draw = random.Random(0)
    lengths = [
        max(16, min(LENGTH, round(draw.lognormvariate(math.log(90), 1)))) for _ in range(STEPS * BATCH)
    ]
    starts = [sum(lengths[:number]) % (len(stream) - LENGTH) for number in range(len(lengths))]
    cut = [stream[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    return [RenderedRow(ids, [IGNORED] * 10 + ids[10:], 10) for ids in cut]


def ours(
    folder: Path,
    tokenizer: Any,
    config: Any,
    presafe: bool = False,
    weights: bool = False,
    kl: bool = False,
    made: Any = rendered_rows,
    **settings: Any,
) -> float:
    """Seconds of our trainer on the rows that `made` makes."""
    from curation.engines.weights import load_model, locate
    from sft.proof.weights import TokenWeights, WeightRule
    from sft.training import trainer
    from sft.training.config import KlToBase, PresafeConfig

    rendered = made(tokenizer)
    config = config.model_copy(update=settings)
    refused = [float(number % 2) for number in range(len(rendered))] if presafe else None
    if presafe:
        config = config.model_copy(update={"presafe": PresafeConfig(decisions="unused")})
    of_tokens = {}
    if weights:
        config = config.model_copy(
            update={"token_weights": TokenWeights(rules=(WeightRule(of="all", weight=1),))}
        )
        of_tokens["token_weights"] = [[n % 3 / 2 for n in range(len(row.input_ids))] for row in rendered]
    if kl:
        config = config.model_copy(update={"kl_to_base": KlToBase()})
        of_tokens["anchored"] = [[float(n % 2)] * len(row.input_ids) for n, row in enumerate(rendered)]
    model = load_model(locate(str(folder / "model")), "float32")
    built = trainer.build(config, model, tokenizer, rendered, folder / "out", refused, of_tokens=of_tokens)
    return timed(lambda: built.train())


def stock(folder: Path, tokenizer: Any, config: Any) -> float:
    """Seconds of TRL's own trainer."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    data = [
        {
            "prompt": tokenizer.apply_chat_template([{"role": "user", "content": row["prompt"]}], add_generation_prompt=True, tokenize=False),
            "completion": f"{row['reasoning']}\n</think>\n\n{row['answer']}{tokenizer.eos_token}",
        }
        for row in rows()
    ]  # fmt: skip
    arguments = SFTConfig(
        output_dir=str(folder / "stock"), max_steps=STEPS, per_device_train_batch_size=BATCH, gradient_accumulation_steps=1,
        bf16=False, gradient_checkpointing=False, max_length=LENGTH, save_steps=10_000, save_total_limit=1, learning_rate=1e-3, logging_steps=1,
        report_to="none", use_cpu=True, disable_tqdm=True, lr_scheduler_type="cosine", seed=42,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    trainer = SFTTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_list(data), processing_class=tokenizer
    )
    return timed(lambda: trainer.train())


def timed(work: Callable[[], object]) -> float:
    """CPU time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    """All three in turns; the best of each."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tokenizer, config = setting(folder)
        contenders: dict[str, Callable[[], float]] = {
            "stock": lambda: stock(folder, tokenizer, config),
            "ours": lambda: ours(folder, tokenizer, config),
            "presafe": lambda: ours(folder, tokenizer, config, presafe=True),
            "weights": lambda: ours(folder, tokenizer, config, weights=True),
            "kl": lambda: ours(folder, tokenizer, config, kl=True),
            "padded": lambda: ours(folder, tokenizer, config, made=uneven_rows),
            "padding_free": lambda: ours(folder, tokenizer, config, made=uneven_rows, padding_free=True),
            "packing": lambda: ours(
                folder,
                tokenizer,
                config,
                made=uneven_rows,
                packing=True,
                max_steps=None,
                per_device_train_batch_size=1,
            ),
        }
        tokens = sum(len(row.input_ids) for row in uneven_rows(tokenizer))
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds + 1):
            for name, contender in contenders.items():
                times[name].append(contender())
    best = {name: min(of_one[1:]) for name, of_one in times.items()}  # the first round warms up
    return {
        "seconds": {name: round(value, 3) for name, value in best.items()},
        "throughput_of_stock": round(best["stock"] / best["ours"], 3),
        "presafe_cost": round(best["presafe"] / best["ours"] - 1, 3),
        "weights_cost": round(best["weights"] / best["ours"] - 1, 3),
        "kl_cost": round(best["kl"] / best["ours"] - 1, 3),
        "tokens_per_second": {
            name: round(tokens / best[name]) for name in ("padded", "padding_free", "packing")
        },
        "packing_gain": round(best["padded"] / best["packing"], 2),
    }


def main() -> None:
    """Print the figures as a JSON line and as a sentence."""
    found = measure()
    print(json.dumps({"benchmark": "train", **found}))
    print(
        f"throughput {found['throughput_of_stock']} of stock TRL (target: 0.98); PreSafe's head costs {found['presafe_cost']:.1%} (target: 5 %), "
        f"token weights {found['weights_cost']:.1%} (target: 3 %), KL on half of the rows {found['kl_cost']:.1%}; "
        f"packing trains {found['packing_gain']} times as many tokens a second as padding"
    )
