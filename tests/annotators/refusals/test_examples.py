"""The written answers: the notation, and that nothing held out is learned from."""

from annotators.refusals.examples import load, written


def test_marks_become_bounds_and_brackets_of_programs_stay() -> None:
    found = written(r"[[No.]] ((Ask him.)) Then:\n`x = list(tuple(y))`", "partial_refusal", "voice")
    assert found.text == "No. Ask him. Then:\n`x = list(tuple(y))`"
    assert [found.text[a:b] for a, b in (*found.refusing, *found.idle)] == ["No.", "Ask him."]


def test_there_are_enough_answers_and_none_is_held_out_and_learned() -> None:
    learned, held = ({answer.text.casefold() for answer in load(name)} for name in ("examples", "held_out"))  # type: ignore[arg-type]
    assert len(learned) > 900 and len(held) > 190 and not learned & held


def test_refusals_are_marked_and_help_is_not() -> None:
    for answer in load("examples"):
        if answer.answer_class != "no_answer":
            assert bool(answer.refusing) == answer.refuses, answer.text
