"""Whether two replies give the same final answer, right or wrong."""

from sft.scoring.answers.letters import chosen_letter, reference_letter
from sft.scoring.answers.mathematics import equal, final_answer


def same_answer(first: str, second: str, reference: str | None) -> bool | None:
    """Whether two answers are the same.

    Args:
        first: the text of an answer.
        second: that of another.
        reference: the correct answer, which tells whether letters are compared.

    Returns:
        Null if neither has a final answer, or they cannot be compared; false if only one has.
    """
    if reference is not None and reference_letter(reference) is not None:
        letters = chosen_letter(first), chosen_letter(second)
        return None if letters == (None, None) else letters[0] == letters[1]
    found = final_answer(first), final_answer(second)
    if found[0] is None or found[1] is None:
        return None if found == (None, None) else False
    return equal(found[1], found[0].text)
