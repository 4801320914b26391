import re

import pytest
import re2

from annotators.rules.bank import bank, sources

FOLDERS = ("answer", "language", "prompt", "reasoning", "script")


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_cue_compiles_in_both_engines_and_matches_no_empty_text(folder: str) -> None:
    for cue, pattern in sources(folder).items():
        assert re.compile(pattern).search("") is None, cue
        assert re2.compile(pattern).search("") is None, cue


def test_both_engines_find_cues_at_the_same_places() -> None:
    text = "I won't explain it.  Perhaps a rough outline?\nThat isn't fair to the others."
    found = bank("reasoning")
    for cue, pattern in sources("reasoning").items():
        expected = [match.start() for match in re.finditer(pattern, text)]
        assert found.starts(cue, text.encode()) == expected, cue
        if expected and cue not in found.gap_cues:
            assert cue in found.cues_in(text)


def test_a_language_file_adds_to_its_cue() -> None:
    assert bank("reasoning").starts("decline", "我拒绝".encode()) == [3]
    assert bank("reasoning").starts("aware", b"Das ist strafbar.")


def test_short_forms_mean_what_the_readme_says() -> None:
    starts = bank("answer").starts
    assert starts("refuse", "I won’t explain".encode()) == starts("refuse", b"I won't explain") == [0]
    assert not starts("refuse", b"I won. Explain it.")
