"""The file system through which SQL reads the parts of a corpus."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from curation.corpus.part_files import SCHEME, PartFiles


def test_threads_that_share_a_part_each_read_at_their_own_place(tmp_path: Path) -> None:
    content = b"".join(n.to_bytes(4, "big") for n in range(50_000))
    (tmp_path / "a.parquet").write_bytes(content)
    part = PartFiles(tmp_path).open(SCHEME + "a.parquet")

    def read(number: int) -> bool:
        start = (number * 7919) % (len(content) - 4000)
        part.seek(start)
        return part.read(4000) == content[start : start + 4000]

    with part, ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(5000)))


def test_a_part_reads_like_any_file_and_only_that(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"0123456789")
    with PartFiles(tmp_path).open(SCHEME + "a.parquet") as part:
        assert (part.read(3), part.tell(), part.seek(-2, 2), part.read(), part.read(5)) == (
            b"012",
            3,
            8,
            b"89",
            b"",
        )
    with pytest.raises(PermissionError, match="read-only"):
        PartFiles(tmp_path).open(SCHEME + "a.parquet", "wb")
    with pytest.raises(PermissionError, match="not a part"):
        PartFiles(tmp_path).open(SCHEME + "../a.parquet")
