from pathlib import Path

import pytest

from curation.reading import hash_files, read_text
from schemas.errors import DataError, RecipeError


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"x\xff", r"a\.txt: byte 1 is not UTF-8; save the file as UTF-8"),
        ("text".encode("utf-16"), r"a\.txt: byte 0 is not UTF-8"),
        (b"x" * 11, r"a\.txt: larger than 10 bytes"),
        (None, r"a\.txt: cannot be read \(No such file or directory\); check the path"),
    ],
)
def test_a_file_that_is_no_utf8_text_is_named(tmp_path: Path, data: bytes | None, fault: str) -> None:
    file = tmp_path / "a.txt"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(RecipeError, match=fault):
        read_text(file, most=10)


def test_a_byte_order_mark_and_carriage_returns_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert read_text(tmp_path / "a.txt", most=None) == "one\ntwo"


def test_files_hash_as_their_bytes_one_after_the_other(tmp_path: Path) -> None:
    for name, data in (("a", b"12"), ("b", b"3"), ("c", b"123")):
        (tmp_path / name).write_bytes(data)
    assert hash_files([tmp_path / "a", tmp_path / "b"]) == hash_files([tmp_path / "c"])
    with pytest.raises(DataError, match="gone: cannot be read"):
        hash_files([tmp_path / "gone"])
