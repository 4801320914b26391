"""Loops: a text that degenerates into repeating itself, as small models do until their token limit."""

LOOP_WINDOW = 24
"""Code points that must recur for a loop to be suspected."""
LOOP_PERIOD = 600
"""The longest repeated unit, in code points, that is detected."""
LOOP_REPEATS = 6
LOOP_LENGTH = 240
"""A shorter repetition is not a loop: rulers, tables and laughter repeat too."""
LOOP_SHARE = 1 / 3
"""Minimum share of the text that a loop covers."""


def loop_length(text: str) -> int:
    """Length of the unit that a text degenerates into repeating, in code points; 0 for ordinary text.

    A loop is the same unit of at most 600 code points at least 6 times back to back, over at least 240 code points
    and a third of the text. Two bounded searches detect it, so the cost does not grow with the text: they always find a
    loop in the last third and one that covers half of the text.
    """
    find, size = text.find, len(text)
    # A unit that the text has no room for six of is not looked for.
    reach = min(LOOP_PERIOD, size // LOOP_REPEATS) + LOOP_WINDOW
    for start in (size * 3 // 8, size * 3 // 4):
        again = find(text[start : start + LOOP_WINDOW], start + 1, start + reach)
        if again > 0:
            length = _repeated_length(text, start, again - start)
            if length >= max(LOOP_LENGTH, LOOP_REPEATS * (again - start), LOOP_SHARE * size):
                return again - start
    return 0


def _repeated_length(text: str, start: int, unit: int) -> int:
    block = text[start : start + unit]
    first, last = start, start + unit
    while first >= unit and text.startswith(block, first - unit):
        first -= unit
    while text.startswith(block, last):
        last += unit
    return last - first
