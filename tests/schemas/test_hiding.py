"""No run of eight characters of a secret survives in a text, however it was written there."""

import base64
import html
import json
import string
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.trust import hide_password
from schemas import hiding
from schemas.hiding import MARK, hide, hide_bytes, hide_in, hide_known
from schemas.manifest import Manifest

CHARACTERS = string.ascii_letters + string.digits + "-_.+/=~!$&%\"'\\"
SECRETS = (
    st.text(CHARACTERS, min_size=8, max_size=60)
    .map(lambda text: text + "7a1")
    .filter(lambda text: MARK not in text)
)
AROUND = st.text(max_size=30)
ESCAPES: tuple[Callable[[str], str], ...] = (
    "\\u{:04x}".format, "%{:02X}".format, "&#{};".format, "&#x{:x};".format, "\\x{:02X}".format,
)  # fmt: skip
WHOLE: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent": lambda text: quote(text, safe=""),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[3:-3],
    "HTML": html.escape,
    "hex": lambda text: text.encode().hex().upper(),
    "capitals": str.upper,
    "wrapped": lambda text: "\n   ".join(text[n : n + 5] for n in range(0, len(text), 5)),
    "wide": "\0".join,
    "unseen marks": "\u200b".join,
}


def runs(text: str) -> set[str]:
    return {text[n : n + 8].lower() for n in range(len(text) - 7)}


VARIABLES: dict[str, str] = {}
hiding.watch(VARIABLES)


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    yield
    VARIABLES.clear()


def known(secret: str) -> None:
    VARIABLES.clear()
    VARIABLES["MY_API_KEY"] = secret


@pytest.mark.parametrize("written", WHOLE)
@settings(max_examples=40, deadline=None)
@given(secret=SECRETS, before=AROUND, after=AROUND)
def test_a_secret_in_any_writing_is_hidden(written: str, secret: str, before: str, after: str) -> None:
    known(secret)
    text = WHOLE[written](secret)
    hidden = hide_known(f"{before} | {text} | {after}")
    assert MARK in hidden and text not in hidden
    assert not runs(text) & runs(hidden.replace(MARK, "\n")) or written in ("percent twice", "JSON in JSON")


@settings(max_examples=60, deadline=None)
@given(secret=SECRETS, chosen=st.data())
def test_each_character_may_be_escaped_in_its_own_way(secret: str, chosen: st.DataObject) -> None:
    known(secret)
    ways = chosen.draw(st.lists(st.sampled_from((chr, *ESCAPES)), min_size=len(secret), max_size=len(secret)))
    # Who escapes in this way escapes backslashes too; a bare one would make another text of the escape behind it.
    written = zip(ways, secret, strict=True)
    text = "".join("\\u005c" if character == "\\" else way(ord(character)) for way, character in written)
    assert hide_known(f"<{text}>").replace(MARK, "").strip("<>\\") == ""


@settings(max_examples=60, deadline=None)
@given(secret=SECRETS, before=st.binary(max_size=9), after=st.binary(max_size=9), cut=st.integers(0, 20))
def test_base64_of_a_text_with_a_secret_is_hidden(secret: str, before: bytes, after: bytes, cut: int) -> None:
    known(secret)
    whole = before + secret.encode() + after
    for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes):
        left = hide_known(encode(whole).decode()).replace("\n", "").split(MARK)
        pieces = [piece[n:] for piece in left for n in range(4)]
        for piece in pieces:
            coded = piece[: len(piece) // 4 * 4].translate(str.maketrans("-_", "+/"))
            try:
                found = base64.b64decode(coded).decode("latin-1")
            except ValueError:
                continue
            assert not runs(found) & runs(secret)


@settings(max_examples=60, deadline=None)
@given(
    secret=SECRETS.filter(lambda text: not set(text) & set("%&\\")),
    start=st.integers(0, 60),
    length=st.integers(8, 60),
    around=AROUND,
)
def test_a_part_of_a_secret_is_hidden(secret: str, start: int, length: int, around: str) -> None:
    known(secret)
    start = min(start, len(secret) - 8)
    part = secret[start : start + length]
    assert part not in hide_known(f"{around}#{part}#{around}")
    content = f'{{"error": {json.dumps(part)}}}'.encode()
    assert json.dumps(part)[1:-1].encode() not in hide_bytes(content)


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=200))
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    known("sk-9f8e7d6c5b4a39281706")
    assert hide_known(text) == text and hide_bytes(text.encode("utf-8", "replace")) == text.encode(
        "utf-8", "replace"
    )


def test_words_are_no_secrets() -> None:
    known("EMPTY")
    VARIABLES["OPENAI_API_KEY"], VARIABLES["HOME"] = "secret", "/home/somebody1234"
    text = (
        "EMPTY is a secret in /home/somebody1234, as bearer tokens are: https://host/a@b basic authentication"
    )
    assert hide(text) == text


def test_a_key_told_by_an_option_or_an_address_is_hidden() -> None:
    hiding.remember("9f8e7d6c5b4a")
    hide_password("http://me:p%40ss-w0rd-9@host/")
    assert hide_known("x9f8e7d6c5b4ay p@ss-w0rd-9 p%40ss-w0rd-9") == f"x{MARK}y {MARK} {MARK}"


def test_what_looks_like_a_secret_is_hidden_in_messages_alone() -> None:
    text = "https://u:pw@host/ https://tok3n123@host Authorization: Bearer abc.123-x {'authorization': 'Basic dTpwMTIz'} hf_abcdefgh12"
    assert hide(text) == (
        f"https://{MARK}@host/ https://{MARK}@host Authorization: Bearer {MARK} {{'authorization': 'Basic {MARK}'}} {MARK}"
    )
    assert hide_known(text) == text


def test_a_manifest_is_written_without_secrets() -> None:
    known("sk-9f8e7d6c5b4a39281706")
    manifest = Manifest(
        stage="x",
        recipe={"url": "http://a:bcd@host", "extra": [{"key sk-9f8e7d6c5b4a39281706": "sk-9f8e7d6c5b4a"}]},
    )
    manifest.counts.add("failed", "401: sk-9f8e7d6c5b4a39281706")
    text = manifest.model_dump_json()
    assert "a:bcd" not in text and "9f8e7d6c" not in text + repr(manifest) + json.dumps(manifest.model_dump())
    again = Manifest.model_validate_json(text)
    assert again.recipe_id == manifest.recipe_id and again.model_dump_json() == text


def test_nested_values_are_hidden_with_their_keys() -> None:
    known("sk-9f8e7d6c5b4a39281706")
    value = {"sk-9f8e7d6c5b4a39281706": ["a", 1, None, ("sk-9f8e7d6c5b4a39281706",)]}
    assert hide_in(value) == {MARK: ["a", 1, None, [MARK]]}
