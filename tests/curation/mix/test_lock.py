"""Locks: the same mix again after the corpus has grown, or a word on what changed."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.corpus.store import Store
from curation.mix import build as mix
from curation.mix import lock
from curation.mix.sweep import load_points
from schemas import CorpusError, DataError, RecipeError, prompt_id

RECIPE = "name: x\nparts:\n  a: {where: \"kind = 'harmful' and not weak_vacillation\", take: 20, stratify_by: [category]}\n"


@pytest.fixture
def locked(filled: Store, tmp_path: Path):
    """Build under a lock; gives the files of the mix."""

    def build(text: str = RECIPE, out: str = "mix") -> dict[str, bytes]:
        (tmp_path / "r.yaml").write_text(text)
        (loaded,) = load_points(tmp_path / "r.yaml").values()
        lock.run(filled.root, loaded, out=tmp_path / out, lock=tmp_path / "x.lock")
        return {
            str(p.relative_to(tmp_path / out)): p.read_bytes()
            for p in (tmp_path / out).rglob("*")
            if p.is_file()
        }

    return build


def grow(corpus: Store) -> None:
    """New traces, and a judge who finds every old one weakly vacillating."""
    text = "Something new"
    base = {
        "prompt": text,
        "prompt_id": prompt_id(text),
        "kind": "harmful",
        "reasoning": "r",
        "answer": "a",
        "sample_index": 0,
    }
    old = [id for batch in corpus.scan("traces", ["trace_id"]) for id in batch.column(0).to_pylist()]
    corpus.append_rows("traces", [{**base, "trace_id": f"new{n}"} for n in range(50)])
    corpus.append_rows(
        "annotations",
        [
            {"trace_id": id, "pattern": "weak_vacillation", "annotator": "judge:j@1", "label": True}
            for id in old[:70]
        ],
    )


def test_the_same_bytes_come_back_after_the_corpus_has_grown(locked, filled: Store, tmp_path: Path) -> None:
    before = locked()
    grow(filled)
    assert locked(out="again") == before
    with pytest.raises(RecipeError, match="only"):
        mix.run(filled.root, tmp_path / "r.yaml", out=tmp_path / "free")


def test_a_changed_recipe_is_named(locked) -> None:
    locked()
    with pytest.raises(
        RecipeError, match=r"x\.lock: the locked mix[\s\S]*the recipe: parts\.a\.take was 20 and is 19"
    ):
        locked(RECIPE.replace("20", "19"))


def test_parts_that_are_gone_are_named_and_the_earlier_mix_stays(locked, filled: Store) -> None:
    before = locked()
    (part,) = filled.parts("annotations")
    rows = pq.read_table(part).slice(0, 100)
    part.unlink()
    filled.append("annotations", rows)
    with pytest.raises(RecipeError, match=r"annotations: 1 of 1 parts are gone"):
        locked(out="other")
    filled.append("annotations", rows)
    assert before and not list(filled.root.parent.glob(".locked-*"))


def test_a_layout_that_changed_alone_is_no_reason_to_differ_in_silence(locked, filled: Store) -> None:
    locked()
    (part,) = filled.parts("traces")
    rows = pq.read_table(part)
    part.unlink()
    filled.append("traces", rows.slice(0, 40))
    filled.append("traces", rows.slice(40))
    with pytest.raises(RecipeError, match=r"traces: 1 of 1 parts are gone"):
        locked(out="other")


def test_another_registry_of_benchmarks_is_named(
    locked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    locked()
    found = lock.read(tmp_path / "x.lock")
    changed = found.model_copy(update={"files": {"benchmarks.csv": "0"}, "mix_id": "0"})
    (tmp_path / "x.lock").write_text(changed.model_dump_json())
    with pytest.raises(RecipeError, match=r"benchmarks\.csv has other content"):
        locked(out="other")


STRUCTURE = """name: mine
version: 1
description: Two parts.
parts:
- {name: weighed, mark: "Weighed:", ask: what it would do., body: "{{ opening }}"}
- {name: decided, mark: "Decided:", ask: what follows., body: "{{ conclusion }}"}
"""


@pytest.mark.parametrize("form", ["structure:mine.yaml", "structure:mine.yaml without weighed", "mine.jinja"])
def test_the_file_of_a_rewriting_is_locked_and_a_change_is_named(form: str, locked, tmp_path: Path) -> None:
    recipe = RECIPE.replace("take: 20", f'take: 20, rewrite: "{form}"')
    file = tmp_path / form.removeprefix("structure:").partition(" ")[0]
    file.write_text("{{ opening }}" if file.suffix == ".jinja" else STRUCTURE)
    before = locked(recipe)
    assert file.name in lock.read(tmp_path / "x.lock").files
    file.write_text(f"{file.read_text()}\n")  # nothing that decides
    assert locked(recipe, out="again") == before or file.suffix == ".jinja"
    file.write_text(
        "So: {{ opening }}" if file.suffix == ".jinja" else STRUCTURE.replace("Decided:", "Then:")
    )
    with pytest.raises(RecipeError, match=rf"{file.name} has other content"):
        locked(recipe, out="other")


def test_a_file_that_is_no_lock_is_explained(locked, tmp_path: Path) -> None:
    (tmp_path / "x.lock").write_text('{"format_version": 1}')
    with pytest.raises(DataError, match="delete it to lock again"):
        locked()
    (tmp_path / "x.lock").write_text('{"format_version": 9}')
    with pytest.raises(CorpusError, match="format version 9 is newer"):
        locked()


def test_a_key_in_a_recipe_is_in_no_file_of_the_mix_and_not_in_the_lock(
    locked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sk-Zq81mmPx77aLw2"
    monkeypatch.setenv("SOME_SERVICE_API_KEY", secret)
    text = RECIPE.replace(
        "name: x", f"name: x\ndescription: made with {secret}\nlicenses: {{test: {secret}}}"
    )
    files = locked(text)
    assert locked(text) == files  # and the lock still knows its recipe
    written = [*files.values(), (tmp_path / "x.lock").read_bytes()]
    assert [content for content in written if secret.encode() in content] == []
    assert any(b"[hidden]" in content for content in written)
