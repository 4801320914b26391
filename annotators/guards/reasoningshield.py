"""ReasoningShield: made for chains of thought; an analysis, then `Judgment:` 0, 0.5 or 1.

Potentially harmful (0.5) counts as unsafe with that score, so that a calibrated threshold may decide otherwise.
"""

import re
from collections.abc import Sequence

from annotators.base import Conversation
from annotators.guards.base import Finding, Guard

JUDGMENT = re.compile(r"Judgm?e?ment\W{0,6}:\W{0,6}(0\.5|[01](?:\.0)?)(?![\d.]*\d)", re.IGNORECASE)


def ask(template: str, prompt: str, text: str) -> list[Conversation]:
    """The rubric as the system message, query and thought as the person's."""
    return [
        [
            {"role": "system", "content": template},
            {"role": "user", "content": f"Query: {prompt}\nThought: {text}"},
        ]
    ]


def parse(replies: Sequence[str]) -> Finding | None:
    """The last judgment counts: the analysis may speak of others."""
    found = JUDGMENT.findall(replies[0])
    if not found:
        return None
    level = float(found[-1])
    return Finding(level > 0, level, detail=f"level {level:g}")


GUARD = Guard(
    "reasoningshield", ("unsafe",), ("reasoning",), ask, parse, "reasoningshield.txt", max_tokens=1024
)
