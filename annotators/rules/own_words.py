"""What a text says itself: quotations and code are blanked, in an answer also the pieces it delivers (a draft, a story).

A cue inside them is somebody else's. Offsets stay as they are, so that evidence points into the stored text.
"""

import re

QUOTED = re.compile(
    r"""```.*?(?:```|\Z)|`[^`\n]+`|^>[^\n]*|"[^"\n]{2,600}"|“[^”\n]{2,600}”|«[^»\n]{2,600}»|「[^」\n]{2,600}」""",
    re.DOTALL | re.MULTILINE,
)
DELIVERED = re.compile(
    r"^(?:[^\n]{0,200}\b(?:here(?:'s|’s| is| are)|below is|as follows|a draft|the draft|example|sample|template|version|story|poem|letter|"
    r"e-?mail|message|reply)\b[^\n]{0,120}:[*_ ]*\n|(?:\*\*)?Subject:|Dear \w[^\n]{0,40},[ ]*\n|Once upon a time)",
    re.IGNORECASE | re.MULTILINE,
)
"""Where a delivered piece begins; it goes on to the end."""
BLANKS = (" ", "\u00a0", "\u2003", "\U000f0000")
"""Blanks of one to four bytes in UTF-8, so that offsets in bytes and in code points both stay."""
LEAST = 3
"""A text with fewer words of its own is read whole: it may have been stored in quotation marks."""


def own_words(answer: str) -> str:
    """The answer with everything blanked that it only quotes or delivers."""
    piece = DELIVERED.search(answer)
    start = piece.end() if piece else len(answer)
    own = unquoted(answer[:start]) + _blank(answer[start:])
    return own if piece or _worded(own) else answer


def own_thoughts(reasoning: str) -> str:
    """The reasoning with everything blanked that it only quotes."""
    own = unquoted(reasoning)
    return own if _worded(own) else reasoning


def _worded(text: str) -> bool:
    return len(re.findall(r"\w+", text)) >= LEAST


def unquoted(text: str) -> str:
    """A text with its quotations and code blanked."""
    return QUOTED.sub(lambda quoted: _blank(quoted[0]), text)


def _blank(text: str) -> str:
    """Blanks in place of words; the ends of sentences and lines stay."""
    return re.sub(r"[^\s.!?]", lambda letter: BLANKS[len(letter[0].encode()) - 1], text)
