"""The tests of LiveCodeBench's problems, brought into one JSON object of inputs, outputs and the function's name.

Hidden tests are published as base64 of zlib of a pickle. Nothing is unpickled here: the pickle of one string consists of that string
and five harmless opcodes, and a pickle with any other opcode is rejected.
"""

import base64
import binascii
import json
import pickletools
import zlib
from typing import Any

from curation.ingest.fields import BadRow

MAX_TESTS = 512 * 2**20
"""Bytes that a problem's hidden tests may unpack to."""
TEXT = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
HARMLESS = TEXT | {"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"}


def tests(public: Any, private: Any, metadata: Any) -> str:
    """All tests of a problem as the JSON that coding problems carry as their reference answer.

    Raises:
        BadRow: wrong_type, if they are not in the published format.
    """
    try:
        every = [*json.loads(public), *_hidden(private)]
        texts_by_field = {"inputs": [t["input"] for t in every], "outputs": [t["output"] for t in every]}
        name = json.loads(metadata).get("func_name") if metadata else None
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        zlib.error,
        binascii.Error,
    ) as error:
        raise BadRow("wrong_type", f"the tests are not in LiveCodeBench's format ({error})") from error
    if not every or not all(isinstance(text, str) for texts in texts_by_field.values() for text in texts):
        raise BadRow("wrong_type", "the tests are not in LiveCodeBench's format (texts are wanted)")
    return json.dumps(texts_by_field | ({"fn_name": name} if name else {}), ensure_ascii=False)


def _hidden(private: Any) -> list[Any]:
    if not private:
        return []
    if private.lstrip().startswith("["):
        return list(json.loads(private))
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(base64.b64decode(private, validate=True), MAX_TESTS)
    if unpacking.unconsumed_tail:
        raise ValueError(f"hidden tests of more than {MAX_TESTS} bytes")
    return list(json.loads(_only_text(data)))


def _only_text(data: bytes) -> str:
    """The text in the pickle of a text."""
    arguments = []
    for instruction, argument, _ in pickletools.genops(data):
        if instruction.name not in HARMLESS:
            raise ValueError(f"a pickle with the opcode {instruction.name}")
        if instruction.name in TEXT:
            arguments.append(argument)
    if len(arguments) != 1:
        raise ValueError("a pickle of something other than one string")
    return str(arguments[0])
