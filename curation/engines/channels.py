"""gpt-oss's channels as think tags, so that its replies are taken apart where all others are.

Its turn is one message on the channel `analysis` and one on `final`. The surprise: a turn may hold several messages before the
last; each becomes a think block of its own, and the splitter then calls the reply "several", never closed.
"""

import re

from schemas.response import CLOSE, OPEN

CHANNEL = "<|channel|>"
_MESSAGE = re.compile(
    r"(?:<\|start\|>assistant)?<\|channel\|>(\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(.*?)(?:<\|end\|>|(?=<\|start\|>)|\Z)",
    re.DOTALL,
)


def as_think_tags(text: str) -> str:
    """An assistant's turn with think tags in place of channels; any other text as it is."""
    if not text.lstrip().startswith(CHANNEL):
        return text
    messages = _MESSAGE.findall(text)
    if not messages:
        return text
    thoughts, (channel, last) = [body for _, body in messages[:-1]], messages[-1]
    closed = "".join(f"{OPEN}\n{thought}\n{CLOSE}\n\n" for thought in thoughts)
    return closed + (last if channel == "final" else f"{OPEN}\n{last}")
