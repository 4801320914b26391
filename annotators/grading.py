"""Graded scores from log-probabilities: how likely each verdict was at the token where a model gave its own.

A verdict that is one word ("yes", "unsafe", "present") says nothing of doubt; the probabilities of the words that the model
did not choose do.
"""

from collections.abc import Mapping, Sequence

from annotators.base import Token

LEAST_MASS = 0.5
"""If the verdicts have less probability together, the token is not the place where the model decides."""


def text_of(tokens: Sequence[Token]) -> str:
    """What the tokens spell."""
    return "".join(token.text for token in tokens)


def expected_level(tokens: Sequence[Token], start: int, levels: Mapping[str, float]) -> float | None:
    """The mean level of the verdicts that were possible at the first word from an offset on.

    Args:
        tokens: the reply.
        start: offset into its text, in code points.
        levels: each verdict in lower case, and how much it says, 0 to 1.

    Returns:
        Null if that word is none of the verdicts.
    """
    end = 0
    for token in tokens:
        end += len(token.text)
        if end > start and _word(token.text):
            return _mean_level(token.alternatives, levels)
    return None


def agreeing(label: bool | None, score: float | None) -> float | None:
    """A score on the side of its label: 0.5 and above for true, below for false, null for null."""
    if label is None or score is None:
        return None
    return round(max(score, 0.5) if label else min(score, 0.4999), 4)


def _mean_level(alternatives: Mapping[str, float], levels: Mapping[str, float]) -> float | None:
    mass = {
        verdict: sum(p for text, p in alternatives.items() if _begins(_word(text), verdict))
        for verdict in levels
    }
    total = sum(mass.values())
    if total < LEAST_MASS:
        return None
    return sum(levels[verdict] * p for verdict, p in mass.items()) / total


def _word(text: str) -> str:
    return text.strip(" \t\r\n\"'`*_:.,#-").casefold()


def _begins(piece: str, verdict: str) -> bool:
    return bool(piece) and (verdict.startswith(piece) or piece.startswith(verdict))
