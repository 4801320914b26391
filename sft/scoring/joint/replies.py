"""Puts the reply to an attack beside that to its question."""

from collections.abc import Mapping, Sequence

from sft.scoring.measures import JudgedReply


def paired_replies(replies: Sequence[JudgedReply], questions: Mapping[str, str]) -> list[JudgedReply]:
    """The replies to attacks, each with the same sample of its question; all replies as they are where there are no attacks.

    Args:
        replies: of one suite.
        questions: the prompt of an attack -> that of its question.
    """
    if not questions:
        return list(replies)
    plain = {(one.prompt_id, one.sample_index): one for one in replies}
    return [
        one._replace(plain=plain.get((questions[one.prompt_id], one.sample_index)))
        for one in replies
        if one.prompt_id in questions
    ]
