"""The size of batches follows the time that they take."""

from collections.abc import Iterator

import pyarrow as pa

from curation.annotate.pace import FIRST_OF_A_MODEL, Pace


def seconds(of: list[float]) -> Iterator[float]:
    """A clock for `timed`: each work takes the next of these."""
    times = [moment for n, took in enumerate(of) for moment in (100.0 * n, 100.0 * n + took)]
    return iter(times)


def test_quick_work_gets_more_and_slow_work_less() -> None:
    pace, sizes = Pace(16, 100), []
    clock = seconds([0.1, 0.1, 0.1, 0.1, 9, 3, 9, 9, 9])
    for _ in range(9):
        pace.timed(lambda: None, lambda: next(clock))
        sizes.append(pace.size)
    assert sizes == [32, 64, 100, 100, 50, 50, 25, 16, 16]


def test_an_annotator_that_asks_for_few_gets_so_many() -> None:
    pace = Pace(16, FIRST_OF_A_MODEL)
    pace.timed(lambda: None)
    assert pace.size == FIRST_OF_A_MODEL


def test_every_row_is_in_one_piece_and_the_next_piece_has_the_new_size() -> None:
    pace = Pace(16, 512)
    found = []
    for piece in pace.slices(pa.record_batch({"n": list(range(100))})):
        found.append(piece["n"].to_pylist())
        pace.timed(lambda: None)
    assert [len(piece) for piece in found] == [16, 32, 52]
    assert [n for piece in found for n in piece] == list(range(100))
