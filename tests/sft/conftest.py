"""Tiny models with real chat templates, and mixes to train them on."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import write_parquet
from curation.mix import folder
from schemas.ids import content_id
from schemas.manifest import Manifest
from schemas.row import Row, row_id
from schemas.tables import ROWS, TALK_ROWS
from sft.tiny import Family, make_model, make_tokenizer, own_family


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """The same for torch, which other tests may have loaded before: sums of more threads have other last bits than those of a subprocess."""
    import torch

    torch.set_num_threads(1)


SAMPLES = files("curation") / "samples"


def real_template(name: str) -> str:
    """A family's own chat template, from the installed TRL (not its training variant)."""
    return (files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def families() -> dict[str, Family]:
    r1_end, r1_begin = "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>"
    think = ("<think>", "</think>")
    return {
        # R1-Distill pads with EOS, and its tokenizer puts BOS before every text
        "r1": Family(
            real_template("deepseek_r1_distill"),
            r1_begin,
            r1_end,
            r1_end,
            ("<｜User｜>", "<｜Assistant｜>", *think),
        ),
        "qwen3": Family(
            real_template("qwen3"), None, "<|im_end|>", "<|endoftext|>", ("<|im_start|>", *think)
        ),
        "gptoss": Family(
            real_template("gptoss"),
            None,
            "<|return|>",
            "<|endoftext|>",
            ("<|start|>", "<|end|>", "<|message|>", "<|channel|>"),
        ),
        "own": own_family(),
    }


def sample_traces() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLES / "traces.jsonl").read_text(encoding="utf-8").splitlines()]


def make_row(prompt: str, reasoning: str, answer: str, number: int = 0, part: str = "safety") -> Row:
    trace = content_id([prompt, reasoning, answer, number])
    return Row(
        row_id=row_id(trace, part), trace_id=trace, prompt_id=content_id(prompt), part=part, kind="harmful",
        strategy="improved", model=None, source="samples", source_id=None, category=None, prompt=prompt,
        reasoning=reasoning, answer=answer, reference_answer=None, tokens=100, risky=(),
    )  # fmt: skip


def sample_rows(count: int = 24) -> list[Row]:
    """Rows over all strategies of the samples, empty think blocks among them."""
    traces = sample_traces()
    chosen = traces[:: len(traces) // count][:count]
    return [make_row(t["prompt"], t["reasoning"], t["answer"]) for t in chosen]


def write_mix(out: Path, rows: list[Row]) -> Path:
    import pyarrow as pa

    schema = TALK_ROWS if any(row.turns or row.tools for row in rows) else ROWS
    table = pa.Table.from_pylist([row.model_dump() for row in rows], schema)
    write_parquet(out / "data" / folder.SHARD, table)
    manifest = Manifest(stage="build-mix", summary={"rows": len(rows), "mix_id": folder.mix_id(table)})
    (out / "manifest.json").write_text(manifest.model_dump_json())
    return out


@pytest.fixture(scope="session")
def tokenizers() -> dict[str, Any]:
    texts = [t["prompt"] + t["reasoning"] + t["answer"] for t in sample_traces()]
    return {name: make_tokenizer(family, texts, vocab_size=1024) for name, family in families().items()}


@pytest.fixture(scope="session")
def models(tokenizers: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for name, tokenizer in tokenizers.items():
        make_model(root / name, tokenizer, hidden=32, layers=2)
    return {name: root / name for name in tokenizers}


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    return write_mix(tmp_path / "mix", sample_rows())
