"""A row that is seen to be plain by its quotes alone is never one that has a key twice or a number that lost digits."""

import json
import random

from curation.ingest.containers.readers import parse

VALUES = [
    "a",
    "",
    '"',
    '":',
    '" :',
    "\\",
    "ü",
    "a: b",
    None,
    True,
    3,
    -1,
    0.5,
    ["a"],
    {"a": "b"},
    {"a": 'x"'},
]


def test_a_key_that_occurs_twice_is_always_found() -> None:
    rng = random.Random(3)
    for _ in range(5000):
        names = rng.choices(["a", "b", 'c"', "d:"], k=rng.randint(1, 4))
        pairs = [(name, rng.choice(VALUES)) for name in names]
        space = rng.choice(["", " "])
        text = ",".join(f"{json.dumps(name)}{space}:{json.dumps(value)}" for name, value in pairs)
        raw = parse(f"{{{text}}}".encode(), 1)
        assert (raw.fault is not None) == (len(set(names)) < len(names)), text
        assert raw.fault is not None or raw.row == dict(pairs)


def test_a_large_number_keeps_its_digits_beside_plain_texts() -> None:
    assert parse(b'{"a":"x","n":123456789012345678901234}', 1).row["n"] == "123456789012345678901234"
    assert parse(b'{"a":"x","n":NaN}', 1).row == {"a": "x", "n": None}
