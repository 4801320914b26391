import errno
import json
import multiprocessing
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.corpus import store
from curation.corpus.store import Store
from schemas import CorpusError, Manifest


def trace(number: int) -> dict[str, object]:
    return {
        "trace_id": f"t{number}",
        "prompt_id": "p",
        "prompt": "?",
        "reasoning": "r",
        "answer": "a",
        "sample_index": 0,
    }


def test_a_folder_that_is_no_corpus_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="not a corpus; create one with: curate ingest"):
        Store(tmp_path)


def test_a_folder_with_other_things_in_it_does_not_become_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(CorpusError, match="not empty"):
        Store.create(tmp_path)


def test_a_corpus_of_a_newer_version_is_refused(corpus: Store) -> None:
    (corpus.root / store.MARKER).write_text(json.dumps({"format_version": 99}))
    with pytest.raises(CorpusError, match=r"format version 99 is newer .* pip install -U"):
        Store(corpus.root)


def test_writing_the_same_rows_twice_leaves_one_part(corpus: Store) -> None:
    for _ in range(2):
        with corpus.writing("traces"):
            corpus.append_rows("traces", [trace(1), trace(2)])
    assert len(corpus.parts("traces")) == 1
    assert corpus.keys("traces") == {"t1", "t2"}


def test_readers_see_no_temporary_file_and_the_next_writer_removes_it(corpus: Store) -> None:
    stale = corpus.root / "traces" / ".tmp-1-part-x.parquet"
    stale.parent.mkdir()
    stale.write_bytes(b"half a part")
    assert corpus.parts("traces") == []
    with corpus.writing("traces"):
        assert not stale.exists()


def test_a_part_keeps_the_fixed_schema(corpus: Store) -> None:
    corpus.append_rows("annotations", [{"trace_id": "t", "pattern": "inconsistency", "annotator": "rules@1"}])
    assert pq.read_schema(corpus.parts("annotations")[0]).equals(store.TABLES["annotations"])


def test_a_full_disk_says_so_and_leaves_no_half_part(corpus: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CorpusError, match="the disk is full; free some space and run the same command again"):
        corpus.append_rows("traces", [trace(1)])
    assert list((corpus.root / "traces").iterdir()) == []


def test_a_path_through_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CorpusError, match="is a file, not a folder"):
        Store.create(tmp_path / "file" / "corpus")


@pytest.mark.parametrize("read", [pq.read_table, pq.read_metadata, pq.ParquetFile, open])
def test_a_part_that_is_gone_while_the_corpus_is_written_is_named(
    corpus: Store, read: Callable[[Path], object]
) -> None:
    part = corpus.root / "traces" / "part-no.parquet"
    said = r"part-no\.parquet: this file was deleted while it was wanted"
    with pytest.raises(CorpusError, match=said), corpus.writing("traces"):
        read(part)


def test_another_missing_file_is_no_fault_of_the_corpus(corpus: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"), corpus.writing("traces"):
        subprocess.run(["no-such-program"], check=True)
    with pytest.raises(FileNotFoundError, match="elsewhere"), corpus.writing("traces"):
        pq.read_table(tmp_path / "elsewhere.parquet")


def test_a_file_is_within_a_place_by_its_name_or_where_links_lead(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "far").symlink_to(tmp_path / "away")
    places = [tmp_path / "real"]
    assert store.within(tmp_path / "link" / "lost", places)
    assert store.within(tmp_path / "real" / "far", places)
    assert not store.within(tmp_path / "really", places)
    assert not store.within(tmp_path, places)


def add_traces(root: Path, first: int) -> None:
    corpus = Store(root)
    for number in range(first, first + 10):
        with corpus.writing("traces"):
            known = corpus.keys("traces")
            corpus.append_rows("traces", [trace(n) for n in (number, 0) if f"t{n}" not in known])


def test_eight_writers_at_once_lose_nothing_and_write_nothing_twice(corpus: Store) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add_traces, args=(corpus.root, 1 + 10 * n)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    ids = [
        t
        for part in corpus.parts("traces")
        for t in pq.read_table(part, columns=["trace_id"])["trace_id"].to_pylist()
    ]
    assert sorted(ids) == sorted({f"t{n}" for n in range(81)})


def test_a_manifest_of_the_same_work_replaces_its_own(corpus: Store) -> None:
    first = corpus.write_manifest(Manifest(stage="ingest", recipe={"a": 1}))
    second = corpus.write_manifest(Manifest(stage="ingest", recipe={"a": 1}, summary={"new": 0}))
    other = corpus.write_manifest(Manifest(stage="ingest", recipe={"a": 2}))
    assert first == second != other
    assert Manifest.model_validate_json(second.read_bytes()).summary == {"new": 0}
