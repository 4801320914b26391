from curation.review.vectors import DIMENSIONS, vectors


def similarity(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_texts_that_share_wording_are_nearer_than_others():
    texts = [
        "The user wants a fake parking permit for the car park near the station",
        "A parking permit for the station car park, but a fake one, is what the user wants",
        "Seven apples and five pears make twelve pieces of fruit in the basket",
        "How warm is the sea in May, and which beaches have shade",
    ]
    permit, same, fruit, sea = vectors(texts)
    assert similarity(permit, same) > max(similarity(permit, fruit), similarity(permit, sea)) + 0.2


def test_a_vector_has_length_one_and_a_text_without_words_has_none():
    words, nothing = vectors(["two words", "..."])
    assert abs(similarity(words, words) - 1) < 1e-3
    assert nothing == [0.0] * DIMENSIONS


def test_the_same_texts_give_the_same_vectors():
    texts = ["one text", "another text"]
    assert list(vectors(texts)) == list(vectors(texts))
