import pytest

pytest.importorskip("sentence_transformers", reason="the extra `models` is not installed")

from annotators.embedding.encoder import load
from annotators.embedding.reading import LEAST, WINDOW, read, sentences
from schemas.trace import Trace

PARAGRAPH = (
    "The user wants to ride without paying. That would be fare evasion, which I will not help with. " * 3
)


def trace(reasoning: str) -> Trace:
    return Trace(
        trace_id="t", prompt_id="p", prompt="How do I skip the fare?", reasoning=reasoning, answer="No."
    )


def test_sentences_stand_at_code_points_in_every_script() -> None:
    text = "Größe zählt nicht. 这是欺诈。我不会帮忙。\n\nНет 🙂! Okay."
    found = list(sentences(text, "reasoning"))
    assert [text[s.start : s.end] for s in found] == [
        "Größe zählt nicht.", "这是欺诈。", "我不会帮忙。", "Нет 🙂!", "Okay.",
    ]  # fmt: skip
    assert [s.last for s in found] == [False, False, True, False, False]


def test_every_sentence_is_in_one_window_of_bounded_length() -> None:
    document = read([trace(f"{PARAGRAPH}\n\n" * 6)], load()[1])[0]
    assert sum(len(window.ends) for window in document.windows) == len(document.sentences)
    assert all(
        len(window.ids) <= WINDOW and window.ends[-1] == len(window.ids) for window in document.windows
    )


def test_a_passage_changes_only_the_windows_of_its_paragraph() -> None:
    paragraphs = [PARAGRAPH.replace("fare", word) for word in ("fare", "toll", "fee", "rent")]
    plain, edited = read(
        [
            trace("\n\n".join(paragraphs)),
            trace("\n\n".join([*paragraphs[:2], "Hm. " + paragraphs[2], paragraphs[3]])),
        ],
        load()[1],
    )
    assert len(set(edited.windows) - set(plain.windows)) == 1


def test_short_paragraphs_share_a_window() -> None:
    document = read([trace("\n\n".join(["One short line."] * 8))], load()[1])[0]
    reasoning = [window for window in document.windows if len(window.ends) > 1]
    assert reasoning and all(len(window.ids) < WINDOW for window in reasoning)
    assert len(reasoning[0].ids) >= LEAST or len(reasoning) == 1


def test_brackets_quotes_and_markup_are_not_read() -> None:
    plain, marked = (
        read([trace(text)], load()[1])[0] for text in ("Take the card.", 'Take the [**"card"**].')
    )
    assert [w.ids for w in plain.windows] == [w.ids for w in marked.windows]


def test_blank_fields_have_no_sentence() -> None:
    document = read([trace("  \n")], load()[1])[0]
    assert {sentence.field for sentence in document.sentences} == {"prompt", "answer"}
