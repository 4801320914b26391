"""Templates with {slots}, filled in one go, so that braces in a trace mean nothing."""

import re

SLOT = re.compile(r"\{(\w+)\}")


def fill(template: str, **pieces: str) -> str:
    """The template with each {name} that is given replaced by its piece; other braces stay."""
    return SLOT.sub(lambda slot: pieces.get(slot[1], slot[0]), template)
