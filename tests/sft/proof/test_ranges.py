"""Files of ranges: read whole, or every fault named."""

from pathlib import Path

import pytest

from schemas.errors import DataError
from sft.proof.ranges import TextRange, read_ranges


def test_ranges_are_read_by_trace(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(
        '{"trace_id": "a", "name": "x", "field": "reasoning", "start": 0, "end": 2}\n'
        '{"trace_id": "a", "name": "y", "field": "answer", "start": 1, "end": 3, "text_id": "t", "note": "mine"}\n'
    )
    assert read_ranges(path) == {
        "a": [TextRange("x", "reasoning", 0, 2), TextRange("y", "answer", 1, 3, "t")]
    }


@pytest.mark.parametrize(
    "line",
    [
        "nonsense", "[]", "{}", '{"trace_id": "a", "name": "x", "field": "prompt", "start": 0, "end": 2}',
        '{"trace_id": "a", "name": "x", "field": "answer", "start": 2, "end": 2}',
        '{"trace_id": "a", "name": "x", "field": "answer", "start": -1, "end": 2}',
        '{"trace_id": "a", "name": "x", "field": "answer", "start": 0.0, "end": 2}',
        '{"trace_id": "a", "name": "x", "field": "answer", "start": true, "end": 2}',
        '{"trace_id": 1, "name": "x", "field": "answer", "start": 0, "end": 2}',
        '{"trace_id": "a", "name": "x", "field": "answer", "start": 0, "end": 2, "text_id": 3}',
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"trace_id": "a", "name": "x", "field": "answer", "start": 0, "end": 2}\n' + line)
    with pytest.raises(DataError, match=r"r\.jsonl:2: write"):
        read_ranges(path)


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="curate spans"):
        read_ranges(tmp_path / "none.jsonl")
