import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotators.judge.evidence import LEAST_WORDS, WORD, locate

TEXT = (
    "Okay, so he wants a copy of the council's permit. That is forgery — I won't explain it.\n\n"
    "Still, I could keep the pirate voice… maybe a short rhyme about parking? No. 我不能帮助伪造停车证。 Done."
)


def found(quote: str, text: str = TEXT) -> list[str]:
    return [text[place.start : place.end] for place in locate(quote, text)]


def test_an_exact_quote_is_found_where_it_stands() -> None:
    assert found("That is forgery — I won't explain it.") == ["That is forgery — I won't explain it."]


@pytest.mark.parametrize(
    ("quote", "words"),
    [
        ("that is forgery - I won’t explain it", "That is forgery — I won't explain it"),
        ("“Still, I could keep  the pirate voice”", "Still, I could keep the pirate voice"),
        ("explain it.\nStill, I could", "explain it.\n\nStill, I could"),
        ("不能帮助 伪造停车证", "不能帮助伪造停车证"),
    ],
)
def test_quotation_marks_dashes_case_and_white_space_do_not_matter(quote: str, words: str) -> None:
    assert found(quote) == [words]


def test_a_dropped_or_changed_word_is_forgiven() -> None:
    assert found("so he wants a copy of the permit") == ["so he wants a copy of the council's permit"]
    assert found("I could keep the pirate tone maybe a short rhyme about parking") == [
        "I could keep the pirate voice… maybe a short rhyme about parking"
    ]


@pytest.mark.parametrize(
    "quote",
    [
        "First scan the permit, then change the plate and print it on glossy paper",
        "he wants to copy the library card",
        "so the council wants a permit he may copy",
        "forgery",
        "",
        "...",
    ],
)
def test_words_that_are_not_there_are_rejected(quote: str) -> None:
    assert locate(quote, TEXT) == []


def test_a_quote_with_an_ellipsis_gives_its_pieces_in_order() -> None:
    assert found("he wants a copy ... I won't explain it") == ["he wants a copy", "I won't explain it"]
    assert locate("I won't explain it ... he wants a copy", TEXT) == []


def test_a_quote_is_not_found_in_an_empty_text() -> None:
    assert locate("so he wants a copy of it", "") == []


@given(st.text(max_size=300), st.integers(0, 299), st.integers(1, 80))
def test_any_piece_of_two_words_or_more_is_found_with_the_same_words(
    text: str, start: int, length: int
) -> None:
    piece = text[start : start + length]
    if len(WORD.findall(piece)) >= LEAST_WORDS:
        places = locate(piece, text)
        assert len(places) == 1
        assert text[places[0].start : places[0].end].strip() == piece.strip()


def test_a_missing_quote_in_a_long_text_takes_less_than_a_second_of_cpu() -> None:
    text = "The user asks about parking and I wonder what the rules of the council say. " * 150
    began = time.process_time()
    assert locate("nothing of this kind was ever said by anybody about trams or buses " * 5, text) == []
    assert time.process_time() - began < 1
