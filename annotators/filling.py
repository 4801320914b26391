"""Templates with {slots}, filled in one pass, so that braces in a trace are never taken for slots."""

import re

SLOT = re.compile(r"\{(\w+)\}")


def fill(template: str, **pieces: str) -> str:
    """The template with each given {name} replaced by its text; other braces stay."""
    return SLOT.sub(lambda slot: pieces.get(slot[1], slot[0]), template)
