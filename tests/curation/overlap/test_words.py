import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.overlap.words import hash_words, ngrams, plain_words, word_spans

SAMPLES = (
    "", " ", "Plain words, 2 of them!", "don't stop_here", "Typographic \u2019quotes\u2019 \u2014 and dashes\u2026",
    "É été ÀÉÎ × ÷ ß µ ª", "x² + y² ≤ 4π", "日本語 テキスト mixed ローマ字", "Привет МИР", "e\u0301 composed é", "emoji 😀😀 end",
    "a\ufe0fb", "हिन्दी शब्द", "İstanbul", "ﬁne", "extraordinarily-long-hyphenated incomprehensibilities", "\u2c00glag", "𝒜 math",
)  # fmt: skip


def same_words(left: str, right: str) -> bool:
    return np.array_equal(hash_words([left]).hashes, hash_words([right]).hashes)


@pytest.mark.parametrize("text", SAMPLES)
def test_hashes_spans_and_words_agree(text: str) -> None:
    words = plain_words(text)
    assert len(hash_words([text]).hashes) == len(word_spans(text)) == len(words)
    assert same_words(text, " ".join(words))


@given(st.lists(st.text(max_size=40), max_size=8))
def test_rows_never_touch_each_other(texts: list[str]) -> None:
    together = hash_words(texts)
    alone = [hash_words([text]).hashes for text in texts]
    assert np.diff(together.offsets).tolist() == [len(hashes) for hashes in alone]
    assert np.array_equal(together.hashes, np.concatenate([*alone, np.zeros(0, np.uint64)]))
    assert [len(hashes) for hashes in alone] == [len(word_spans(text)) for text in texts]


@given(st.text(max_size=60))
def test_equal_words_have_equal_hashes_and_others_do_not(text: str) -> None:
    hashes = hash_words([text]).hashes
    assert len(set(hashes.tolist())) == len(set(plain_words(text)))


def test_case_spacing_and_punctuation_do_not_matter() -> None:
    assert same_words("How do I kill a Python process?", "how  DO i\nkill, a “python” process")
    assert same_words("ÉTÉ — été", "été été")
    assert not same_words("ab c", "a bc")


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_runs_of_words_stay_within_their_row(n: int) -> None:
    texts = ["a b c d e f g h i j", "", "a b", "x a b c d e f g h i j"]
    words = hash_words(texts)
    found = ngrams(words, n)
    expected = [max(len(text.split()) - n + 1, min(len(text.split()), 1)) for text in texts]
    assert np.diff(found.offsets).tolist() == expected
    rows = [found.hashes[a:b].tolist() for a, b in zip(found.offsets, found.offsets[1:], strict=False)]
    assert set(rows[0]) < set(rows[3])
    assert len(set(rows[3])) == len(rows[3])
    long = ngrams(words, n, short=False)
    assert np.diff(long.offsets).tolist() == [max(len(text.split()) - n + 1, 0) for text in texts]
