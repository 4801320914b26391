"""Content ids: equal content has the same id, on every machine and in every run.

An id is the first 128 bits of BLAKE2b over canonical JSON (sorted keys, no spaces, UTF-8), in hex; ids of long texts
hash a line of their lengths followed by the texts, which takes a quarter of the time. Content ids make stages idempotent:
running one twice cannot create a second row for the same content.
"""

import hashlib
import json
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def canonical_json(value: Any) -> bytes:
    """Canonical UTF-8 JSON of plain data.

    Raises:
        ValueError: for NaN, infinities and unpaired surrogates, which have no canonical form.
        TypeError: for values that JSON cannot represent.
    """
    return _encode(value).encode("utf-8")


def content_id(value: Any) -> str:
    """The id (32 hex digits) of plain data; raises as `canonical_json` does."""
    return bytes_id(canonical_json(value))


def texts_id(*texts: str | None) -> str:
    """The id (32 hex digits) of some texts in order.

    Hashes the UTF-8 of their lengths in code points ("-" for null) joined by commas, a line feed, and the texts.

    Raises:
        UnicodeEncodeError: for unpaired surrogates.
    """
    lengths = ",".join(["-" if text is None else str(len(text)) for text in texts])
    return bytes_id("".join([lengths, "\n", *filter(None, texts)]).encode("utf-8"))


def bytes_id(data: bytes) -> str:
    """The id (32 hex digits) of bytes that are already canonical."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
