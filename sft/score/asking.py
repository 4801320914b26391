"""Ask a model the prompts of a corpus; its replies become traces there, under the fingerprint of its weights.

A model that was trained again under the same name is asked again; a run that was killed asks only what is missing.
"""

from collections.abc import Sequence
from typing import Any

from curation.engines import Engine, Reply, Sampling
from curation.store import Corpus
from schemas.ids import canonical_json
from schemas.trace import generated_trace_id

STRATEGY = "default@1"
"""The plain query, no instruction."""
CHUNK = 128
"""Replies written at once: what a kill can cost."""


def trace_ids(engine_name: str, prompts: Sequence[dict[str, Any]], sampling: Sampling) -> list[str]:
    """The ids that the replies of a model have, known before it is asked."""
    settings = sampling.model_dump()
    return [generated_trace_id(p["prompt_id"], STRATEGY, engine_name, settings, 0) for p in prompts]


def ask(engine: Engine, corpus: Corpus, prompts: Sequence[dict[str, Any]], sampling: Sampling) -> int:
    """Ask what is missing; returns how many prompts were asked.

    Args:
        engine: the model.
        corpus: takes the replies as traces.
        prompts: rows of the prompts table.
        sampling: how to ask.
    """
    ids = trace_ids(engine.name, prompts, sampling)
    known = corpus.keys("traces")
    missing = [(i, prompt) for i, prompt in zip(ids, prompts, strict=True) if i not in known]
    for start in range(0, len(missing), CHUNK):
        chunk = missing[start : start + CHUNK]
        replies = engine.chat(
            [[{"role": "user", "content": prompt["text"]}] for _, prompt in chunk], sampling
        )
        rows = [
            _trace(i, prompt, reply, engine, sampling)
            for (i, prompt), reply in zip(chunk, replies, strict=True)
        ]
        with corpus.writing("traces"):
            there = corpus.keys("traces")
            corpus.append_rows("traces", [row for row in rows if row["trace_id"] not in there])
    return len(missing)


def _trace(
    i: str, prompt: dict[str, Any], reply: Reply, engine: Engine, sampling: Sampling
) -> dict[str, Any]:
    return {
        "trace_id": i,
        "prompt_id": prompt["prompt_id"],
        "prompt": prompt["text"],
        "kind": prompt["kind"],
        "strategy": STRATEGY,
        "model": engine.name,
        "reasoning": reply.reasoning,
        "answer": reply.answer,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "reasoning_tokens": reply.reasoning_tokens,
        "answer_tokens": reply.answer_tokens,
        "sampling": canonical_json(sampling.model_dump()).decode(),
        "sample_index": 0,
        "source": "sft score",
        "extra": canonical_json({"think_state": reply.think_state}).decode(),
    }
