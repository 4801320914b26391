"""Comparisons lock a table only while a part is written, and one of a kind runs at a time."""

from pathlib import Path

import pytest

from curation.corpus.store import Store
from curation.ingest.benchmarks import Benchmark
from curation.overlap.decontaminate import stage as decontaminate
from curation.overlap.dedup import stage as dedup
from schemas.manifest import InputFile


def others_may_write(corpus: Store, table: str) -> bool:
    with corpus.writing(table, wait=False):
        return True


def test_others_may_write_while_texts_are_compared(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    free: list[bool] = []
    place = dedup.place

    def looking(parts: list[Path], folder: Path) -> Path | None:
        free.append(others_may_write(filled, "clusters"))
        return place(parts, folder)

    monkeypatch.setattr(dedup, "place", looking)
    dedup.run(filled.root, dedup.DedupRecipe(methods=("exact",)))
    assert free and all(free)


def test_others_may_write_while_evaluation_prompts_are_looked_for(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    free: list[bool] = []
    read = decontaminate.read_batches

    def looking(part: Path, table: str):
        free.append(others_may_write(filled, "contamination"))
        return read(part, table)

    monkeypatch.setattr(decontaminate, "read_batches", looking)
    own = Benchmark("own", ["Question 0 about privacy"], ["0"], InputFile(name="own", blake2b="0" * 32))
    decontaminate.run(filled.root, [own], decontaminate.DecontaminateRecipe())
    assert free and all(free)
