"""Checksums of parts: a flipped bit that changes anything that is read is noticed, wherever it is."""

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.corpus.query import connect
from curation.corpus.store import Store
from curation.integrity import check
from curation.integrity.parts import BadPart, whole
from curation.integrity.seal import sealed
from schemas.errors import CorpusError


def flip(part: Path, at: int, bit: int = 1) -> None:
    content = bytearray(part.read_bytes())
    content[at] ^= bit
    part.write_bytes(bytes(content))


def footer_of(part: Path) -> int:
    return part.stat().st_size - 8 - int.from_bytes(part.read_bytes()[-8:-4], "little")


@pytest.mark.parametrize("table", ["traces", "annotations"])
def test_a_flipped_bit_is_noticed_or_changes_nothing(filled: Store, tmp_path: Path, table: str) -> None:
    (part,) = filled.parts(table)
    rows, content, chance = pq.read_table(part), part.read_bytes(), random.Random(1)
    copy, noticed = tmp_path / part.name, 0
    places = [
        *chance.sample(range(len(content)), 300),
        *chance.sample(range(footer_of(part), len(content)), 200),
    ]
    for at in places:
        copy.write_bytes(content)
        flip(copy, at, 1 << chance.randrange(8))
        try:
            list(whole(table, copy))
        except (BadPart, CorpusError):
            noticed += 1
        else:
            assert at < footer_of(part) and pq.read_table(copy).equals(rows)
    assert noticed > 0.9 * len(places)


def test_a_changed_value_that_still_decodes_is_named(filled: Store) -> None:
    (part,) = filled.parts("traces")
    rows = pq.read_table(part)
    flip(part, part.read_bytes()[: footer_of(part)].rindex(b"about privacy"))
    assert not pq.read_table(part).equals(rows)  # without a look at the checksums
    (damage,) = [one for one in check.read(filled.root).damage if one.kind == "part"]
    assert part.name in damage.file and "CRC" in damage.what
    with pytest.raises(CorpusError, match="damaged part"):
        list(filled.scan("traces"))


def test_a_footer_that_hides_rows_from_queries_is_named(filled: Store) -> None:
    (part,) = filled.parts("traces")
    last = max(filled.keys("traces"))
    query = "select count(*) from traces where trace_id = $id"
    assert connect(filled).execute(query, {"id": last}).fetchone() == (1,)
    content = part.read_bytes()
    start = footer_of(part)
    part.write_bytes(content[:start] + content[start:].replace(last.encode(), b"0" * len(last)))
    assert connect(filled).execute(query, {"id": last}).fetchone() == (0,)
    (damage,) = [one for one in check.read(filled.root).damage if one.kind == "part"]
    assert damage.what == "its footer is not as it was written"


def test_a_part_of_an_earlier_version_reads_on_and_is_counted(
    filled: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    (part,) = filled.parts("traces")
    rows = pq.read_table(part)
    pq.write_table(rows, part)
    assert sealed(part) == "none" and sealed(filled.parts("prompts")[0]) == "whole"
    assert sum(batch.num_rows for batch in filled.scan("traces")) == rows.num_rows
    checked = check.read(filled.root)
    assert checked.damage == [] and checked.unsealed == {"traces": 1}
    check.show(checked)
    assert "parts without checksums (1 of traces)" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 200, b"\xff" * 12])
def test_what_is_no_parquet_file_has_no_seal(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    assert sealed(tmp_path / "f") == "none"
