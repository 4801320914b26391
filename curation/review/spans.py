"""Text and offsets for the review page, there and back without losing a code point.

Every field is put into the page as HTML, where a tag in a prompt would run with the reviewer's rights, and the page counts
UTF-16 units of what it shows. So text goes out escaped with plain line feeds, offsets are converted both ways, and spaces
pad the text where the page may count further than the server (which counts code points of what is stored) would accept.
"""

import html


def to_field(text: str) -> str:
    """A trace's text as it is stored in a field."""
    shown = _shown(text)
    stored = html.escape(shown, quote=False)
    return stored + " " * max(0, _utf16_units(shown) - len(stored))


def to_page(text: str, offset: int) -> int:
    """The page's offset of a code point offset into `text`."""
    before = text[:offset]
    if before.endswith("\r") and text[offset : offset + 1] == "\n":
        before = before[:-1]  # inside a CRLF, which the page shows as one line feed
    return _utf16_units(_shown(before))


def from_page(text: str, offset: int) -> int:
    """The code point offset into `text` of the page's offset; past the end counts as the end."""
    units = position = 0
    while position < len(text) and units < offset:
        if text.startswith("\r\n", position):
            position += 1
        units += 2 if ord(text[position]) > 0xFFFF else 1
        position += 1
    return position


def _shown(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _utf16_units(text: str) -> int:
    return len(text) + sum(1 for character in text if ord(character) > 0xFFFF)
