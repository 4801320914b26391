from annotators.sentences import split


def _texts(text: str) -> list[str]:
    data = text.encode()
    found = split(data)
    return [data[start : found.end(number)].decode() for number, start in enumerate(found.starts)]


def test_a_stop_needs_white_space_behind_it() -> None:
    assert _texts("It costs 3.5 euro. Is that a lot? No!") == ["It costs 3.5 euro.", "Is that a lot?", "No!"]


def test_abbreviations_do_not_end_a_sentence() -> None:
    assert _texts("Ask e.g. Mr. Ohl. He knows.") == ["Ask e.g. Mr. Ohl.", "He knows."]


def test_every_list_item_is_a_sentence() -> None:
    assert _texts("Offer:\n- a walk\n- a swim\n\nDone") == ["Offer:", "- a walk", "- a swim", "Done"]


def test_chinese_and_hindi_stops_need_no_space() -> None:
    assert _texts("这不合适。我拒绝。 好") == ["这不合适。", "我拒绝。", "好"]
    assert _texts("यह गलत है। मैं नहीं करूँगा।") == ["यह गलत है।", "मैं नहीं करूँगा।"]


def test_closing_quotes_belong_to_their_sentence() -> None:
    assert _texts('She said "no." Then left.') == ['She said "no."', "Then left."]
    assert _texts("She said “no.” Then left.") == ["She said “no.”", "Then left."]


def test_blank_text_has_no_sentences() -> None:
    assert _texts("") == _texts(" \n\t ") == []


def test_every_offset_belongs_to_the_sentence_that_holds_it() -> None:
    data = b" One. Two.\nThree"
    sentences = split(data)
    assert [sentences.index_of(data.find(word)) for word in (b"One", b"Two", b"Three")] == [0, 1, 2]
