"""Offsets there and back; the page is imitated by what a browser does: parse HTML, count UTF-16 units."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.review.spans import from_page, to_field, to_page

TEXTS = st.text(st.sampled_from("ab <>&\n\r\t😀𝐱é\u0301שלום中;"), max_size=40)


def cut_by_page(text: str, start: int, end: int) -> str:
    """The words that the page highlights between two of its offsets."""
    units = html.unescape(to_field(text)).encode("utf-16-le")
    return units[2 * start : 2 * end].decode("utf-16-le")


@given(TEXTS, st.data())
def test_the_page_highlights_the_words_and_gives_back_their_offsets(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    if text[start - 1 : start + 1] == "\r\n" or text[end - 1 : end + 1] == "\r\n":
        return  # a CRLF is one character on the page, so no highlight can begin or end inside it
    shown = text[start:end].replace("\r\n", "\n").replace("\r", "\n")
    assert cut_by_page(text, to_page(text, start), to_page(text, end)) == shown
    assert (from_page(text, to_page(text, start)), from_page(text, to_page(text, end))) == (start, end)


@given(TEXTS)
def test_the_server_accepts_an_offset_at_the_very_end(text):
    assert to_page(text, len(text)) <= len(to_field(text))


@given(TEXTS)
def test_no_tag_survives_in_a_field(text):
    assert "<" not in to_field(text) and ">" not in to_field(text)


def test_an_offset_past_the_end_counts_as_the_end():
    assert from_page("a😀", 99) == 2


def test_a_highlight_inside_a_crlf_moves_in_front_of_it():
    assert to_page("a\r\nb", 2) == 1


@pytest.mark.parametrize("text", ["", "plain", "<think>a & b</think>"])
def test_plain_text_is_not_padded(text):
    assert to_field(text) == html.escape(text, quote=False)
