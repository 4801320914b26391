from curation.corpus.buffer import PartBuffer


def test_a_part_is_written_when_it_is_large_enough_and_the_rest_at_the_end() -> None:
    parts: list[list[str]] = []
    with PartBuffer[str](parts.append, most=10) as buffer:
        for item, size in (("a", 4), ("b", 7), ("c", 1)):
            buffer.add(item, size)
        assert parts == [["a", "b"]]
    assert parts == [["a", "b"], ["c"]]


def test_an_old_part_is_written_however_small() -> None:
    parts: list[list[str]] = []
    buffer = PartBuffer[str](parts.append, most=10, seconds=-1)
    buffer.add("a")
    assert parts == [["a"]]


def test_no_part_is_empty_and_an_error_loses_nothing() -> None:
    parts: list[list[str]] = []
    with PartBuffer[str](parts.append, most=10):
        pass
    try:
        with PartBuffer[str](parts.append, most=10) as buffer:
            buffer.add("a")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert parts == [["a"]]
