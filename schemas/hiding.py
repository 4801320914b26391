"""Hides secrets in text: keys and passwords that this process knows, and what looks like one in a message.

Known are the values of watched variables whose names end like `_API_KEY` (`curation.trust` has the environment's watched), and
what `remember` was told: keys given by an option or named by a setting. The surprise: a server that echoes a key need not echo all of it, or as it was. So every run of
eight characters counts, in either case, with white space in between, escaped for JSON, HTML or an URL (also twice), and in base64 or hex.
"""

import base64
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

MARK = "[hidden]"
"""Stands where a secret stood."""
PART = 8
"""Characters of a secret that are hidden wherever they stand together."""
_ANCHOR = 4
_NAMES = re.compile(r"(^|_)(API_?KEY|ACCESS_?KEY|SECRET_?KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
_ESCAPES = re.compile(
    r"%[0-9a-f]{2}|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\[\"'/\\nrt]|&(?:#\d{1,4}|#x[0-9a-f]{1,4}|amp|quot|apos|lt|gt);"
    r"|[\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffd]+",
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s+")
_ENTITIES = {"amp": "&", "quot": '"', "apos": "'", "lt": "<", "gt": ">"}
_SIMPLE = {"n": "", "r": "", "t": ""}
_DEPTH = 3
"""How often a text may be escaped in an escaped text."""
_PASSWORD = re.compile(r"(?<=://)[^/\s@\"'<>]*:[^/\s@\"'<>]*(?=@)|(?<=://)[^/\s@\"'<>]{6,}(?=@)")
_HEADER = re.compile(
    r"(?<=authorization)(?P<to>[\"'\]]?\s*[:=,]\s*b?[\"']?(?:(?:bearer|basic|token|digest)\s+)?)[^\s\"',;]{6,}"
    r"|(?P<scheme>\b(?:bearer|basic)\s+)(?:(?=[^\s\"']*\d)[^\s\"',;)]{6,}|[^\s\"',;)]{20,})|\bhf_\w{8,}",
    re.IGNORECASE,
)
_told: dict[str, None] = {}
_watched: list[Mapping[str, str]] = []


class _Form(NamedTuple):
    """One way in which a secret may be written."""

    text: str
    least: int
    """Characters in a row that give it away."""


def remember(value: str | None) -> None:
    """Hide a value from now on: a key that was given by an option, or that a setting names."""
    if value and _is_secret(value):
        _told[value] = None


def watch(variables: Mapping[str, str]) -> None:
    """Hide the values of variables that are named like keys from now on, also of those that are set later."""
    _watched.append(variables)


def hide(text: str, known: Sequence[_Form] | None = None) -> str:
    """A message without secrets: those that are known, passwords in addresses, and values of Authorization headers.

    Args:
        text: the message.
        known: how the known secrets are written, where it was looked up before.
    """
    text = hide_known(text, known)
    text = _PASSWORD.sub(MARK, text) if "://" in text else text
    return _HEADER.sub(lambda found: f"{found['to'] or found['scheme'] or ''}{MARK}", text)


def hide_known(text: str, known: Sequence[_Form] | None = None) -> str:
    """A text without the secrets that are known. For data: what only looks like a secret stays. Arguments as for `hide`."""
    forms = _known() if known is None else known
    if not forms:
        return text
    spans = list(_found(_lower(text), forms))
    for view in _views(text):
        spans += [view.place(*span) for span in _found(_lower(view.text), forms)]
    return _without(text, spans) if spans else text


def hide_bytes(content: bytes) -> bytes:
    """`hide_known` for the bytes of a server's answer."""
    text = content.decode("utf-8", "surrogateescape")
    hidden = hide_known(text)
    return content if hidden is text or hidden == text else hidden.encode("utf-8", "surrogateescape")


def hide_in(value: Any, how: Callable[[str, Sequence[_Form]], str] = hide) -> Any:
    """The same for every text in nested lists and mappings, keys of mappings included."""
    return _hide_in(value, how, _known())


def _hide_in(value: Any, how: Callable[[str, Sequence[_Form]], str], known: Sequence[_Form]) -> Any:
    if isinstance(value, str):
        return how(value, known)
    if isinstance(value, Mapping):
        return {_hide_in(key, how, known): _hide_in(inner, how, known) for key, inner in value.items()}
    return [_hide_in(inner, how, known) for inner in value] if isinstance(value, list | tuple) else value


def _known() -> list[_Form]:
    """Every way in which every secret is looked for."""
    return [form for secret in _secrets() for form in _forms(secret)]


def _secrets() -> Iterable[str]:
    """Looked up every time, since variables come and go."""
    variables = (pair for watched in _watched for pair in watched.items())
    named = (value for name, value in variables if _is_named_so(name) and _is_secret(value))
    return {**_told, **dict.fromkeys(named)}


@lru_cache(maxsize=4096)
def _is_named_so(variable: str) -> bool:
    """Whether a variable is named like a key: of every text that is written, all names are looked at."""
    return _NAMES.search(variable) is not None


def _is_secret(value: str) -> bool:
    """Whether a value is a key rather than a word, such as the EMPTY that local servers are given."""
    value = value.strip()
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return len(value) >= 12 or (mixed and len(value) >= 6)


@lru_cache(maxsize=256)
def _forms(secret: str) -> tuple[_Form, ...]:
    """Every way in which a secret is looked for."""
    secret = secret.strip()
    raw = secret.encode("utf-8", "surrogateescape")
    written = {secret, _SPACE.sub("", secret), raw.decode("latin-1"), raw.hex()}
    written |= {view.text for view in _views(secret)}  # a secret may look as if it were escaped
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for lead in range(3):  # where it begins among the groups of three bytes
            text = encode(b"\0" * lead + raw).decode().rstrip("=")
            cut = -1 if (len(raw) + lead) % 3 else None  # the last character also holds what comes next
            written.add(text[(0, 2, 3)[lead] : cut])
    return tuple(_Form(_lower(text), min(PART, len(text))) for text in sorted(written) if len(text) >= 6)


def _lower(text: str) -> str:
    """In small letters; never longer or shorter."""
    small = text.lower()
    return small if len(small) == len(text) else "".join(c.lower() if c.isascii() else c for c in text)


def _found(text: str, forms: Iterable[_Form]) -> Iterator[tuple[int, int]]:
    """Where runs of a secret's characters stand: found by a few characters of it, then extended to both sides."""
    for form in forms:
        for at in range(0, len(form.text) - _ANCHOR + 1, form.least - _ANCHOR + 1):
            anchor = form.text[at : at + _ANCHOR]
            place = text.find(anchor)
            while place >= 0:
                start, end = _extended(text, form.text, place, at)
                following = place + 1
                if end - start >= form.least:
                    yield start, end
                    following = max(following, end - _ANCHOR + 1)
                place = text.find(anchor, following)


def _extended(text: str, secret: str, place: int, at: int) -> tuple[int, int]:
    start, end = place, place + _ANCHOR
    while start > 0 and at > place - start and text[start - 1] == secret[at - (place - start) - 1]:
        start -= 1
    while end < len(text) and at + end - place < len(secret) and text[end] == secret[at + end - place]:
        end += 1
    return start, end


class _View(NamedTuple):
    """A text with its escapes read and its white space left out, and where each piece of it comes from."""

    text: str
    starts: list[int]
    """Of the pieces, in this text."""
    sources: list[tuple[int, int]]
    """Of the pieces, in the text itself."""
    plain: list[bool]
    """Whether a piece stands as it does in the text itself, character for character."""

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where a span comes from."""
        return self.piece(start)[0], self.piece(end - 1)[1]

    def piece(self, at: int) -> tuple[int, int]:
        piece = bisect_right(self.starts, at) - 1
        begin, end = self.sources[piece]
        inside = at - self.starts[piece]
        return (begin + inside, begin + inside + 1) if self.plain[piece] else (begin, end)


def _views(text: str) -> Iterator[_View]:
    """The text with its escapes read once, twice and so on, as long as there are any."""
    view = _View(text, [0], [(0, len(text))], [True])
    for _ in range(_DEPTH):
        if not _ESCAPES.search(view.text):
            return
        view = _read(view)
        yield view


def _read(view: _View) -> _View:
    pieces: list[tuple[str, tuple[int, int], bool]] = []
    bounds = [*view.starts[1:], len(view.text)]
    tokens = _ESCAPES.finditer(view.text)
    token, at, piece = next(tokens, None), 0, 0
    while at < len(view.text):
        if token and token.start() == at:
            pieces.append((_meaning(token[0]), view.place(at, token.end()), False))
            at, token = token.end(), next(tokens, None)
        else:
            while bounds[piece] <= at:
                piece += 1
            stop = min(bounds[piece], token.start() if token else len(view.text))
            pieces.append((view.text[at:stop], view.place(at, stop), view.plain[piece]))
            at = stop
    pieces = [piece for piece in pieces if piece[0]]
    texts = [text for text, _, _ in pieces]
    starts = [0, *accumulate(map(len, texts))][: len(texts)]
    return _View("".join(texts), starts, [source for _, source, _ in pieces], [same for _, _, same in pieces])


def _meaning(token: str) -> str:
    """The character that an escape stands for; none for white space and marks that nobody sees."""
    if token[0] == "&":
        name = token[1:-1].lower()
        number = int(name[2:], 16) if name[:2] == "#x" else int(name[1:]) if name[0] == "#" else None
        return _ENTITIES[name] if number is None else chr(number).strip()
    if token[0] == "%" or token[:2].lower() in ("\\u", "\\x"):
        return chr(int(token[1 if token[0] == "%" else 2 :], 16)).strip("\0 \t\r\n")
    return _SIMPLE.get(token[1].lower(), token[1]) if token[0] == "\\" else ""


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    kept, at = [], 0
    for start, end in sorted(spans):
        if start > at or (start == at == 0):
            kept += [text[at:start], MARK]
        at = max(at, end)
    return "".join([*kept, text[at:]])
