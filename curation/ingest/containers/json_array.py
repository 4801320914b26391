"""Cuts a JSON array into its elements without holding more than one of them.

Only brackets and strings are looked at, so an element that is not valid JSON inside still ends where its brackets close
and the next one is found. Parsing is left to the caller.
"""

import re
from collections.abc import Iterator
from io import BufferedIOBase

TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},"]', re.DOTALL)
"""A whole string, or a bracket or comma outside strings, or the quote of a string that does not end in the buffer."""


def elements(file: BufferedIOBase, block: int, longest: int, tail: bool = True) -> Iterator[bytes]:
    """The bytes of each element of the array that `file` holds, without the commas between.

    What stands behind the array's end (with `tail`), or is left when the file ends early, comes as a last element. An element over
    `longest` bytes whose end is not in sight is yielded as far as it was read, and is the last.
    """
    buffer = file.read1(block)
    while b"[" not in buffer and (more := file.read1(block)):
        buffer += more
    buffer = buffer[buffer.index(b"[") + 1 :]
    at, depth, goes_on = 0, 0, True
    while goes_on:
        start = 0
        for token in TOKEN.finditer(buffer, at):
            mark = token[0]
            if mark == b'"':  # the string goes on beyond the buffer
                at = token.start()
                break
            at = token.end()
            if mark in b"[{":
                depth += 1
            elif depth:
                depth -= mark in b"]}"
            elif mark in b",]}":
                yield from _unless_blank(buffer[start : token.start()])
                start = at
                if mark != b",":
                    if tail:
                        yield from _unless_blank(buffer[at:] + file.read1(block))
                    return
        fresh = file.read1(max(block, len(buffer) - start)) if len(buffer) - start <= longest else b""
        goes_on = bool(fresh)
        buffer, at = buffer[start:] + fresh, at - start
    yield from _unless_blank(buffer)


def _unless_blank(element: bytes) -> Iterator[bytes]:
    if element := element.strip():
        yield element
