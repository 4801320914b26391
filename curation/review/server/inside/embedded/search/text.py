"""Text queries: a subset of Elasticsearch's simple_query_string where all words must be found.

    word word   both        a | b   either        -word   not        "a b"   phrase        pre*   prefix

Words may be spread over several fields, as they may in Elasticsearch; brackets are ignored. This module knows neither
SQL nor Argilla.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

MAX_HITS = 10
"""More hits of one word do not make a record more relevant."""
FIELD_SEPARATOR = "\x1f"

_TOKEN = re.compile(r'([+-]?)"([^"]*)"(?:~\d+)?|(\|)|([+-]?)([^\s|"]+)')
_WORD = re.compile(r"\w+")
_FUZZINESS = re.compile(r"~\d*$")
_NO_WORD_BREAKS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_ASCII_RUN = re.compile(r"[a-z0-9_]+")


class Term(NamedTuple):
    """A word or phrase to look for."""

    words: tuple[str, ...]
    negated: bool
    prefix: bool


@lru_cache(maxsize=256)
def parse(query: str) -> list[list[Term]]:
    """A query as alternatives, each a list of terms that must all hold."""
    alternatives: list[list[Term]] = [[]]
    for match in _TOKEN.finditer(query):
        if match.group(3):
            alternatives.append([])
            continue
        quoted = match.group(2) is not None
        sign, raw = (match.group(1), match.group(2)) if quoted else (match.group(4), match.group(5))
        words = tuple(_WORD.findall(_FUZZINESS.sub("", fold(raw))))
        if words:
            alternatives[-1].append(Term(words, sign == "-", not quoted and raw.endswith("*")))
    return [terms for terms in alternatives if terms]


def fold(text: str) -> str:
    """Text without case. Not casefold: that turns some letters into two, which a LIKE over stored text cannot follow."""
    return text.lower()


def score(fields: str | None, query: str, names: str) -> float:
    """How many hits the query has in a record: 0.0 when it does not match.

    Args:
        fields: the record's fields as JSON.
        query: what to look for.
        names: the fields to look in, joined by FIELD_SEPARATOR.
    """
    values = json.loads(fields or "{}") or {}
    body = fold(
        "\n\n".join(text for name in names.split(FIELD_SEPARATOR) for text in _texts(values.get(name)))
    )
    return max((_hits(body, pattern) for pattern in _patterns(query)), default=0.0)


def required_pieces(query: str) -> list[list[str]]:
    """For each alternative, ASCII pieces that any matching text contains: a cheap test before `score`."""
    required = []
    for terms in parse(query):
        words = (word for term in terms if not term.negated for word in term.words)
        pieces = (max(_ASCII_RUN.findall(word), key=len, default="") for word in words)
        required.append([piece for piece in pieces if piece])
    return required


def shuffle(record_id: str, seed: str) -> int:
    """A place in an order that is random, but always the same for one seed.

    A checksum would not do: with CRC-32, which is linear, the orders of two people are XOR images of each other.
    """
    return int.from_bytes(hashlib.blake2b(f"{seed}:{record_id}".encode(), digest_size=7).digest())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


class _TextPattern(NamedTuple):
    regex: re.Pattern[str]
    negated: bool


@lru_cache(maxsize=256)
def _patterns(query: str) -> list[list[_TextPattern]]:
    return [[_TextPattern(_regex(term), term.negated) for term in terms] for terms in parse(query)]


def _regex(term: Term) -> re.Pattern[str]:
    body = r"[\W_]+".join(re.escape(word) for word in term.words)
    if any(_NO_WORD_BREAKS.search(word) for word in term.words):
        return re.compile(body)
    return re.compile(r"(?<!\w)" + body + ("" if term.prefix else r"(?!\w)"))


def _hits(body: str, patterns: list[_TextPattern]) -> float:
    total = 0
    for pattern in patterns:
        hits = sum(1 for _ in islice(pattern.regex.finditer(body), MAX_HITS))
        if bool(hits) == pattern.negated:
            return 0.0
        total += hits
    return float(total or 1)
