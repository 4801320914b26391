"""What is forgotten is in no file of the corpus any more; a record without text stays, and mixes and exports that hold it are named."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.corpus import compact
from curation.corpus.store import Store
from curation.integrity import check, forget
from curation.integrity.forget import ForgetRecipe
from schemas import Manifest, content_id, prompt_id
from schemas.errors import RecipeError
from tests.command_line import curate

TEXT = "Question 7 about theft"
Build = Callable[..., tuple[Manifest, list[dict]]]


def everything(root: Path) -> str:
    """Every value of every file, replaced parts included."""
    parts = "".join(json.dumps(pq.read_table(path).to_pylist()) for path in root.rglob("*.parquet"))
    return parts + "".join(path.read_text() for path in root.rglob("*.json"))


@pytest.fixture
def related(filled: Store) -> Store:
    """One trace is repaired from another, reviewed, quarantined and clustered."""
    trace = content_id(["test", 7])
    row = next(
        row for row in pq.read_table(filled.parts("traces")[0]).to_pylist() if row["trace_id"] == trace
    )
    child = row | {"trace_id": content_id("child"), "prompt_id": prompt_id("other"), "parent_id": trace}
    filled.append_rows("traces", [child])
    filled.append_rows("prompts", [{"prompt_id": prompt_id("other"), "text": "other"}])
    filled.append_rows("annotations", [{"trace_id": trace, "pattern": "p", "annotator": name} for name in ("human:ann", "human:Ann", "rules@2")])  # fmt: skip
    filled.append_rows("reviews", [{"round": "r", "trace_id": trace, "reviewer": who, "updated_at": "1", "status": "draft", "comment": "c"} for who in ("ann", "Ann")])  # fmt: skip
    quarantined = {"quarantine_id": trace, "stage": "generate", "source_file": "", "source_line": 0, "reason": "cut", "detail": "d", "row": TEXT}  # fmt: skip
    filled.append_rows("quarantine", [quarantined])
    filled.append_rows(
        "memberships", [{"prompt_id": prompt_id(TEXT), "evaluation_set": "pair", "query": TEXT}]
    )
    filled.append_rows("clusters", [{"field": "response", "method": "exact", "generation": "1", "id": trace, "cluster_id": "c", "representative": True}])  # fmt: skip
    return filled


@pytest.mark.parametrize("packed", [False, True])
def test_a_prompt_goes_with_all_that_hangs_on_it(related: Store, packed: bool) -> None:
    if packed:
        related.append_rows("prompts", [{"prompt_id": prompt_id("more"), "text": "more"}])
        compact.run(related.root, compact.CompactRecipe())
    recipe = ForgetRecipe(prompts=(prompt_id(TEXT),), reason="a request")
    manifest = forget.run(related.root, recipe)
    assert manifest.counts.filtered == {
        "prompts": 1,
        "traces": 2,
        "annotations": 8,
        "reviews": 2,
        "quarantine": 1,
        "clusters": 1,
        "memberships": 1,
    }
    assert TEXT not in everything(related.root) and content_id("child") not in related.keys("traces")
    assert len(related.keys("traces")) == 79 and check.read(related.root).damage == []
    (record,) = (json.loads(path.read_bytes()) for path in (related.root / "forgotten").iterdir())
    assert record["reason"] == "a request" and record["when"] and record["done"]
    assert record["traces"] == sorted([content_id(["test", 7]), content_id("child")])


def test_an_annotator_goes_by_its_exact_name(related: Store) -> None:
    forget.run(related.root, ForgetRecipe(annotator="human:Ann"))
    assert {row["reviewer"] for row in pq.read_table(related.parts("reviews")[0]).to_pylist()} == {"ann"}
    assert {key[2] for key in related.keys("annotations")} == {"human:ann", "rules@1", "rules@2"}
    forget.run(related.root, ForgetRecipe(annotator="rules@1"))
    assert {key[2] for key in related.keys("annotations")} == {"human:ann", "rules@2"}
    forget.run(related.root, ForgetRecipe(annotator="rules"))
    assert {key[2] for key in related.keys("annotations")} == {"human:ann"}


def test_nothing_to_forget_is_an_error(related: Store, tmp_path: Path) -> None:
    for recipe in (ForgetRecipe(annotator="nobody"), ForgetRecipe(traces=("0" * 32,))):
        with pytest.raises(RecipeError, match="nothing to forget"):
            forget.run(related.root, recipe)
    assert curate("forget", "--corpus", related.root, cwd=tmp_path).returncode == 2
    first = forget.run(related.root, ForgetRecipe(annotator="rules"))
    assert forget.run(related.root, ForgetRecipe(annotator="rules")) == first


def test_mixes_and_exports_that_hold_the_rows_are_named(filled: Store, build: Build, tmp_path: Path) -> None:
    _, rows = build("name: x\nparts:\n  a: {where: \"kind = 'harmful'\", take: 5}\n")
    curate("export", "mix", "--out", "out.jsonl", cwd=tmp_path)
    (tmp_path / "unrelated.jsonl").write_text("{}")
    trace = rows[0]["trace_id"]
    done = curate(
        "forget", "--trace", trace, "--corpus", filled.root, "--json", "--look-in", tmp_path, cwd=tmp_path
    )
    held = json.loads(done.stdout)["summary"]["held_by"]
    assert {Path(one["path"]).name: one["what"] for one in held} == {
        "mix": "1 rows",
        "out.jsonl": "ids of the rows",
    }
    manifest = forget.run(filled.root, ForgetRecipe(annotator="rules@1"), look_in=[tmp_path])
    assert "chosen with the verdicts of rules@1" in str(manifest.summary["held_by"])


def test_a_second_run_finishes_what_a_killed_one_began(
    related: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, real, calls = ForgetRecipe(prompts=(prompt_id(TEXT),)), forget.rewrite, []

    def killed(*arguments: object) -> Path:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(forget, "rewrite", killed)
    with pytest.raises(KeyboardInterrupt):
        forget.run(related.root, recipe)
    monkeypatch.setattr(forget, "rewrite", real)
    manifest = forget.run(related.root, recipe)
    assert manifest.counts.filtered["annotations"] == 8 and TEXT not in everything(related.root)
    assert check.read(related.root).damage == []
