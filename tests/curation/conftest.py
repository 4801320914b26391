"""A small corpus with known traces, and a way to build a mix from recipe text."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from curation.corpus.store import Store
from curation.mix import build as mix
from curation.mix import folder
from schemas import RISKY_PATTERNS, Manifest, content_id, prompt_id
from tests.curation.models import prompts, qwen3_model, r1_model, scripted, vllm_engine, vllm_server  # noqa: F401 - fixtures

TOPICS = ("privacy", "theft", "deception")


@pytest.fixture
def filled(corpus: Store) -> Store:
    """60 harmful traces (30 default, of which every third is weakly vacillating, 30 improved) and 20 math traces."""
    asked, traces, annotations = [], [], []
    for n in range(80):
        kind = "harmful" if n < 60 else "math"
        text = f"Question {n} about {TOPICS[n % 3]}"
        trace_id = content_id(["test", n])
        asked.append(
            {
                "prompt_id": prompt_id(text),
                "text": text,
                "kind": kind,
                "category": TOPICS[n % 3] if n % 10 else None,
            }
        )
        traces.append(
            {
                "trace_id": trace_id, "prompt_id": prompt_id(text), "prompt": text, "kind": kind,
                "strategy": "default" if n < 30 or n >= 60 else "improved", "model": "m@1", "sample_index": 0,
                "reasoning": "Let me think. " * (n + 1), "answer": "Sorry, no." if n < 60 else f"\\boxed{{{n}}}",
                "source": "test", "source_file": "test.jsonl", "source_line": n + 1, "source_id": f"row-{n}",
            }
        )  # fmt: skip
        annotations += [
            {"trace_id": trace_id, "pattern": pattern, "annotator": "rules@1",
             "label": n < 30 and n % 3 == 0 and pattern == "weak_vacillation"}
            for pattern in RISKY_PATTERNS
        ]  # fmt: skip
    corpus.append_rows("prompts", asked)
    corpus.append_rows("traces", traces)
    corpus.append_rows("annotations", annotations)
    return corpus


@pytest.fixture
def build(filled: Store, tmp_path: Path) -> Callable[..., tuple[Manifest, list[dict]]]:
    """Build a mix from recipe text; gives its manifest and rows."""

    def _build(text: str, out: str = "mix") -> tuple[Manifest, list[dict]]:
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(text)
        manifest = mix.run(filled.root, recipe, out=tmp_path / out)
        assert json.loads((tmp_path / out / "manifest.json").read_bytes()) == manifest.model_dump(mode="json")
        return manifest, folder.read_rows(tmp_path / out).to_pylist()

    return _build
