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
"""Where a delivered piece begins."""
LISTED = re.compile(r"\s*(?:[-*•+]|\d+[.)]) ")
AFTER_LIST = re.compile(r"\n[ \t]*\n(?!\s|[-*•+] |\d+[.)] |#|\||\*\*|[A-Z][^\n.!?]{0,60}:[ ]*(?:\n|\Z))")
AFTER_LETTER = re.compile(
    r"\n(?:[a-z]+ ){0,2}(?:regards|wishes|sincerely|truly|faithfully|yours|love|thanks|cheers|best),?[ ]*\n[^\n]{1,40}\n[ \t]*\n",
    re.IGNORECASE,
)
AFTER_RULE = re.compile(r"\n[ ]*(?:-{3,}|\*{3,}|_{3,})[ ]*\n")
"""Where it ends: the paragraph after a list, the name under a letter, a line across the page. Else it goes on to the end."""
BLANKS = (" ", "\u00a0", "\u2003", "\U000f0000")
"""Blanks of one to four bytes in UTF-8, so that offsets in bytes and in code points both stay."""
LETTER = re.compile(r"[^\s.!?]")
LABEL = re.compile(r"\W*(?:(?:final |my )?(?:answer|response)|assistant|ai|bot|model)?\W*", re.IGNORECASE)
"""A text with nothing else of its own is read whole: it was stored in quotation marks."""


def own_words(answer: str) -> str:
    """The answer with everything blanked that it only quotes or delivers."""
    own, position = "", 0
    while piece := DELIVERED.search(answer, position):
        end = _end(answer, piece.end())
        own += unquoted(answer[position : piece.end()]) + _blank(answer[piece.end() : end])
        position = end
    own += unquoted(answer[position:])
    return own if position or _worded(own) else answer


def _end(answer: str, start: int) -> int:
    """Where the piece ends that is delivered from `start` on."""
    ruled = AFTER_RULE.match(answer, answer.rfind("\n", 0, start))
    ends = [
        AFTER_RULE.search(answer, ruled.end() - 1 if ruled else start),
        AFTER_LETTER.search(answer, start),
    ]
    if LISTED.match(answer, start):
        ends.append(AFTER_LIST.search(answer, start))
    return min((found.end() for found in ends if found), default=len(answer))


def own_thoughts(reasoning: str) -> str:
    """The reasoning with everything blanked that it only quotes."""
    own = unquoted(reasoning)
    return own if _worded(own) else reasoning


def _worded(text: str) -> bool:
    return not LABEL.fullmatch(text)


def unquoted(text: str) -> str:
    """A text with its quotations and code blanked."""
    return QUOTED.sub(lambda quoted: _blank(quoted[0]), text)


def _blank(text: str) -> str:
    """Blanks in place of words; the ends of sentences and lines stay."""
    if text.isascii():
        return LETTER.sub(" ", text)
    return LETTER.sub(lambda letter: BLANKS[len(letter[0].encode()) - 1], text)
