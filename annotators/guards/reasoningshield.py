"""ReasoningShield: built for chains of thought; replies with an analysis, then `Judgment:` 0, 0.5 or 1.

Potentially harmful (0.5) counts as unsafe with that score, so that a calibrated threshold can change that.
"""

import re
from collections.abc import Sequence

from annotators.base import Conversation
from annotators.guards.base import ONLY, Finding, Guard, plain

LEVELS = {"safe": 0.0, "potentially harmful": 0.5, "harmful": 1.0}
JUDGMENT = re.compile(
    r"Judge?ment\W{0,6}:\W{0,6}(?:(potentially harmful|harmful|safe)\b\W{0,4})?(?:(0\.5|[01](?:\.0)?)(?![\d.]*\d))?"
    + ONLY,
    re.IGNORECASE,
)
"""A word, a number, or both; the number counts."""


def ask(template: str, prompt: str, text: str) -> list[Conversation]:
    """The rubric as the system message, query and reasoning as the user message."""
    return [
        [
            {"role": "system", "content": template},
            {"role": "user", "content": f"Query: {prompt}\nThought: {text}"},
        ]
    ]


def parse(replies: Sequence[str]) -> Finding | None:
    """The last judgment counts: the analysis may mention others."""
    stated = [(word, number) for word, number in JUDGMENT.findall(plain(replies[0])) if word or number]
    if not stated:
        return None
    word, number = stated[-1]
    level = float(number) if number else LEVELS[word.lower()]
    return Finding(level > 0, level, detail=f"level {level:g}")


GUARD = Guard(
    "reasoningshield", ("unsafe",), ("reasoning",), ask, parse, "reasoningshield.txt", max_tokens=1024
)
