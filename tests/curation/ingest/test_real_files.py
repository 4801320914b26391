"""The real files beside the checkout get all their fields, without glue."""

from pathlib import Path
from typing import Any

import pytest

from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.ingest.recipe import IngestRecipe
from curation.ingest.stage import run

FILES: dict[str, tuple[dict[str, Any], str, dict[str, int]]] = {
    "star1.json": (
        {"constants": ["strategy=default", "model=deepseek-r1"]}, "candidates",
        {"rows": 840, "kind": 840, "category": 840, "source": 840, "strategy": 840, "model": 840},
    ),
    "sft_train_nocot.json": (
        {"constants": ["strategy=no_cot"]}, "candidates", {"rows": 647, "kind": 647, "source": 647, "strategy": 647},
    ),
    "advbench_subset_50.jsonl": ({"set": "advbench"}, "prompts", {"rows": 50, "kind": 50, "source": 50}),
    "xstest_safe_150.jsonl": ({"set": "xstest"}, "prompts", {"rows": 150, "kind": 150, "source": 150}),
    "math500.jsonl": ({}, "prompts", {"rows": 500, "kind": 500, "category": 500, "source": 500, "reference_answer": 500, "source_id": 500}),
    "aime24.jsonl": ({}, "prompts", {"rows": 30, "kind": 30, "source": 30, "reference_answer": 30, "source_id": 30}),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_gets_all_its_fields(name: str, tmp_path: Path, shared_data: Path) -> None:
    options, table, wanted = FILES[name]
    run(tmp_path / "c", [str(shared_data / name)], IngestRecipe.from_options(**options))
    counted = ", ".join(f"count({'*' if field == 'rows' else field}) as {field}" for field in wanted)
    assert select(connect(Store(tmp_path / "c")), f"select {counted} from {table}").to_pylist() == [wanted]
