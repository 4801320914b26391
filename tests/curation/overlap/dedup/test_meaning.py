"""What changes the meaning of a text keeps it from being a duplicate; what does not, does not."""

import random
from pathlib import Path

import pyarrow as pa
import pytest

from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.overlap.dedup.meaning import with_operators
from curation.overlap.dedup.stage import DedupRecipe, run
from curation.overlap.words import plain_words
from schemas.prompt import prompt_id

DIFFERENT = [
    ("Solve x + 3 = 7.", "Solve x - 3 = 7."),
    ("Write it in C.", "Write it in C++."),
    ("Write it in C.", "Write it in C#."),
    ("What is 5! here?", "What is 5 here?"),
    ("Is -3 a number?", "Is 3 a number?"),
    ("What is 1.5 of it?", "What is 15 of it?"),
    ("Area of x² please", "Area of x please"),
    ("Is a < b true?", "Is a > b true?"),
    ("What is 3 * 4 in all?", "What is 3 + 4 in all?"),
    ("我可以帮助你。", "我不可以帮助你。"),
    ("Можно ли это есть сырым?", "Можно ли это не есть сырым?"),
    ("May one eat it raw at home?", "May one not eat it raw at home?"),
]
ALIKE = [
    ("Is it well-known?", "Is it well known?"),
    ("**Name** a colour!", "name a colour"),
    ("- Name a colour", "Name a colour"),
    ("Name a colour ...", "Name a colour."),
]
LONG = "A train leaves at {a} and drives at {b} miles an hour to a town that is {c} miles away where a person waits for it with a friend who came by bus, and the two want to know how long they have to wait for it in all."


def duplicates(folder: Path, *texts: str) -> int:
    corpus = Store.create(folder)
    with corpus.writing("prompts"):
        corpus.append_rows("prompts", [{"prompt_id": prompt_id(text), "text": text} for text in texts])
    run(folder, DedupRecipe())
    latest = "select count(*) as n from clusters where not representative"
    count: int = select(connect(corpus), latest).to_pylist()[0]["n"]
    return count


@pytest.mark.parametrize(("left", "right"), ALIKE)
def test_hyphens_bullets_and_marks_of_layout_do_not_count(left: str, right: str) -> None:
    first, second = (plain_words(text) for text in with_operators(pa.array([left, right])).to_pylist())
    assert first == second


def test_operators_signs_numbers_and_negations_count(tmp_path: Path) -> None:
    for number, pair in enumerate(DIFFERENT):
        assert duplicates(tmp_path / str(number), *pair) == 0, pair


def test_any_other_number_in_a_long_prompt_makes_another_prompt(tmp_path: Path) -> None:
    rng = random.Random(3)
    texts = {
        LONG.format(a=rng.randrange(2, 12), b=rng.randrange(20, 90), c=rng.randrange(100, 900))
        for _ in range(15)
    }
    assert duplicates(tmp_path / "c", *texts) == 0


def test_another_way_to_write_the_same_prompt_is_a_duplicate(tmp_path: Path) -> None:
    text = LONG.format(a=3, b=50, c=200)
    assert duplicates(tmp_path / "c", text, text.upper() + "!") > 0
