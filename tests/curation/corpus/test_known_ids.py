import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.corpus import known_ids, memory
from curation.corpus.known_ids import KnownIds
from schemas.errors import RecipeError

SPELLINGS = ("{:032x}", "{:032X}", " {:031x}", "+{:031x}", "-{:031x}", "{:031x} ", "0_{:030x}")
"""Ids that all read as nearly the same number, and are different ids."""
KEYS = st.one_of(
    st.integers(0, 40).map(lambda n: f"{n:032x}"),
    st.builds(str.format, st.sampled_from(SPELLINGS), st.integers(10, 12)),
    st.text("ab", max_size=3),
    st.text("xyz0", min_size=32, max_size=32),
)


@given(st.lists(st.tuples(KEYS, st.integers(0, 2**62)), max_size=80), st.integers(0, 20))
@settings(deadline=None, max_examples=60)
def test_a_table_is_a_dict_wherever_its_ids_lie(pairs: list[tuple[str, int]], near: int) -> None:
    table, expected = KnownIds(Path(tempfile.gettempdir()), near * known_ids.ENTRY), {}
    for key, number in pairs:
        assert table.setdefault(key, number) == expected.get(key)
        expected.setdefault(key, number)
    assert len(table) == len(expected)
    assert all(key in table for key in expected)
    assert "no such id" not in table


def test_ids_that_differ_only_in_how_a_number_is_spelled_are_different_ids(tmp_path: Path) -> None:
    table = KnownIds(tmp_path, 0)
    keys = [spelling.format(11) for spelling in SPELLINGS]
    assert [table.setdefault(key, number) for number, key in enumerate(keys)] == [None] * len(keys)
    assert [table.get(key) for key in keys] == list(range(len(keys)))


def test_a_table_that_is_full_goes_on_in_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_ids, "PLACES", 8)
    table = KnownIds(tmp_path, 0)
    keys = [os.urandom(16).hex() for _ in range(2_000)]
    assert [table.setdefault(key, n) for n, key in enumerate(keys)] == [None] * 2_000
    assert [table.setdefault(key, 0) for key in keys] == list(range(2_000))
    assert list(tmp_path.iterdir()) == []  # the files have no name: a killed process leaves nothing


def test_a_memory_setting_that_is_no_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("much", "1", "10MB", "-4GB"):
        monkeypatch.setenv(memory.VARIABLE, wrong)
        with pytest.raises(RecipeError, match="not a size of 200MB or more"):
            memory.limit()
    monkeypatch.setenv(memory.VARIABLE, "1.5 gb")
    assert memory.limit() == 1_500_000_000


def test_ingest_with_all_ids_on_disk_is_the_same_and_a_rerun_finds_them(tmp_path: Path) -> None:
    from benchmarks.ingest import write_rows

    write_rows(tmp_path / "rows.jsonl", 300)
    code = "import curation.corpus.known_ids as k; k.ENTRY = 10**12; from curation.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "ingest",
        str(tmp_path / "rows.jsonl"),
        "--kind",
        "benign",
        "--json",
    ]
    plain = [sys.executable, "-m", "curation.cli", *command[3:]]
    said = [
        subprocess.run([*run, "--corpus", str(tmp_path / name)], check=True, capture_output=True).stdout
        for run, name in ((plain, "a"), (command, "b"), (command, "b"), (command, "a"))
    ]
    assert said[1] == said[0] and said[2] == said[3]
    names = [sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*.parquet")) for n in "ab"]
    assert names[0] == names[1]
