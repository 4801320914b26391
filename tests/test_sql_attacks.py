"""Untrusted SQL made from a grammar (`python -m benchmarks sql` feeds 20,000 texts)."""

import random
from pathlib import Path

import pytest

from benchmarks import sql


@pytest.mark.parametrize("seed", range(3))
def test_no_text_of_the_grammar_changes_a_file_or_shows_a_canary(tmp_path: Path, seed: int) -> None:
    counts = sql.attack(tmp_path, 100, seed)
    assert counts["accepted"] >= 5 and counts["rejected"] >= 50


def test_the_grammar_makes_attacks_and_honest_conditions() -> None:
    words = {"canary_file": "f", "corpus": "c", "variable": "v"}
    made = [sql.write(random.Random(n), "condition", words) for n in range(500)]
    assert any("copy (" in text for text in made) and "risky" in made
