"""Who is let in: only a browser on this machine with the token, under our names, and for changes from our own page."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from curation.corpus.store import Store
from curation.view.guard import POLICY
from tests.curation.view.conftest import Serve

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def page(serve: Serve, filled: Store) -> tuple[str, httpx.Client]:
    """The origin, and a client that has the cookie."""
    origin, address = serve(filled.root)
    client = httpx.Client(base_url=origin, timeout=60)
    assert client.get(address).status_code == 303
    return origin, client


def test_without_the_cookie_nothing_is_told(page: tuple[str, httpx.Client]) -> None:
    origin, client = page
    for path in ("/", "/trace?id=x", "/view.js", "/view.css", "/nothing"):
        answer = httpx.get(origin + path)
        assert answer.status_code == 403 and "curate view" in answer.text and "Question" not in answer.text
    assert httpx.post(f"{origin}/trace?id=x", content="pattern=none").status_code == 403
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("token", ["x", "", "ü", "\udcff", "x" * 10000])
def test_a_wrong_token_gives_no_cookie(page: tuple[str, httpx.Client], token: str) -> None:
    origin, _ = page
    answer = httpx.get(
        f"{origin}/", params={"token": token.encode("utf-8", "surrogateescape").decode("latin-1")}
    )
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example:{port}", ""]
)
def test_a_name_that_is_not_ours_is_refused_even_with_the_cookie(
    page: tuple[str, httpx.Client], host: str
) -> None:
    origin, client = page
    answer = client.get("/", headers={"host": host.format(port=urlsplit(origin).port)})
    assert answer.status_code == 421 or (answer.status_code == 400 and not host)


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://127.0.0.1", "http://127.0.0.1:1"]
)
def test_nothing_is_changed_from_another_page(
    page: tuple[str, httpx.Client], filled: Store, origin: str | None
) -> None:
    _, client = page
    headers = FORM | ({"origin": origin} if origin else {})
    assert client.post("/trace?id=x", content="pattern=none", headers=headers).status_code == 403
    assert filled.parts("reviews") == []


def test_the_token_does_not_stay_in_the_address_and_the_rest_does(serve: Serve, filled: Store) -> None:
    origin, address = serve(filled.root)
    answer = httpx.get(f"{address}&q=privacy&kind=harmful")
    assert parse_qs(urlsplit(answer.headers["location"]).query) == {"q": ["privacy"], "kind": ["harmful"]}
    cookie = answer.headers["set-cookie"]
    assert (
        "HttpOnly" in cookie
        and "SameSite=strict" in cookie
        and parse_qs(address)[f"{origin}/?token"][0] not in cookie
    )
    assert not httpx.get(f"{address.replace('/?', '//evil.example/?')}").headers["location"].startswith("//")


def test_every_answer_has_the_policy(page: tuple[str, httpx.Client]) -> None:
    origin, client = page
    for answer in (
        client.get("/"),
        client.get("/trace?id=x"),
        client.get("/nothing"),
        httpx.get(origin),
        client.put("/"),
    ):
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["cache-control"] == "no-store"
    assert "unsafe" not in POLICY


def test_a_label_is_saved_and_a_bad_one_is_told(page: tuple[str, httpx.Client], filled: Store) -> None:
    origin, client = page
    trace_id = next(filled.scan("traces")).to_pylist()[0]["trace_id"]
    headers = FORM | {"origin": origin}

    def post(content: str, id: str = trace_id) -> httpx.Response:
        return client.post(f"/trace?id={id}&kind=harmful", content=content, headers=headers)

    assert post("pattern=none", "nothing").status_code == 400
    assert post("pattern=made_up").status_code == 400
    assert post("pattern=none&pattern=inconsistency").status_code == 400
    assert post("pattern=none&verdict=maybe").status_code == 400
    assert post("note=" + "x" * 30_000).status_code == 413
    assert filled.parts("reviews") == []
    saved = post("pattern=inconsistency&verdict=drop&note=%3Cb%3Ebold&action=next")
    assert saved.status_code == 303 and "kind=harmful" in saved.headers["location"]
    assert trace_id not in saved.headers["location"]
    rows = [
        row
        for batch in filled.scan("annotations")
        for row in batch.to_pylist()
        if row["annotator"] == "human:ann"
    ]
    assert {row["pattern"]: row["label"] for row in rows}["inconsistency"] is True and len(rows) == 5
    assert "&lt;b&gt;bold" in client.get(f"/trace?id={trace_id}").text


def test_a_label_is_withdrawn(page: tuple[str, httpx.Client], filled: Store) -> None:
    origin, client = page
    trace_id = next(filled.scan("traces")).to_pylist()[0]["trace_id"]
    for content in ("pattern=inconsistency", "action=withdraw"):
        client.post(f"/trace?id={trace_id}", content=content, headers=FORM | {"origin": origin})
    said = [
        row
        for batch in filled.scan("annotations")
        for row in batch.to_pylist()
        if "human" in row["annotator"]
    ]
    assert {row["label"] for row in said if row["annotator"] == "human:ann@2"} == {None} and len(said) == 10
