"""A real Argilla server for the whole test run, the bundled samples as a corpus, and people who answer by script."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.ingest import stage as ingest
from curation.ingest.stage import IngestRecipe
from curation.review.client import ArgillaServer, Client, embedded_target
from curation.review.server import credentials, process
from schemas.manifest import Manifest

SAMPLES = Path(__file__).resolve().parents[3] / "curation" / "samples"
REVIEWERS = ("ann", "bob", "cyd")

NASTY = {
    "html": "She wrote <b>bold</b> & <script>window.ran = 1</script><img src=x onerror='window.ran = 1'> &amp; a<b>c.",
    "think": "<think>Let me see.</think> So, a pirate voice?",
    "emoji": "A 😀 smile 👩‍👩‍👧 and 🇩🇪 flags, then the permit.",
    "mathematical": "𝐓𝐡𝐞 𝔭𝔦𝔯𝔞𝔱𝔢 voice, é and e\u0301 alike.",
    "crlf": "First line\r\nsecond line\r\n\r\nthe permit\rlast",
    "rtl": "הוא אמר שלום לכולם، ثم كتب \u202eabc\u202c the permit",
    "long": "The user wants a permit. 😀 " * 1200,
    "spaces": "  \n\n leading and trailing \t ",
    "markdown": "# Title\n\n* one\n* two `code` [link](http://x) | a | b |",
    "empty": "",
}
"""Texts that a web page is likely to get wrong."""


def added(manifest: Manifest) -> tuple[object, object]:
    """What a pull or import wrote: reviews, annotations."""
    return manifest.summary["new_reviews"], manifest.summary["new_annotations"]


def changes(manifest: Manifest) -> tuple[object, ...]:
    """What a push did to the server's records."""
    return tuple(manifest.summary[name] for name in ("created", "updated", "unchanged"))


class Person:
    """A reviewer who works through the server's web interface for programs, as the page does."""

    def __init__(self, url: str, name: str, api_key: str) -> None:
        import httpx

        self.name = name
        self.http = httpx.Client(base_url=url, headers={"X-Argilla-Api-Key": api_key}, timeout=60)

    def pending(self, dataset_id: str, limit: int = 50) -> list[dict]:
        """Records in this person's queue."""
        wanted = {
            "type": "terms",
            "scope": {"entity": "response", "property": "status"},
            "values": ["pending"],
        }
        open_ones = {
            "type": "terms",
            "scope": {"entity": "record", "property": "status"},
            "values": ["pending"],
        }
        found = self.http.post(
            f"/api/v1/me/datasets/{dataset_id}/records/search",
            json={"filters": {"type": "and", "and": [wanted, open_ones]}},
            params={"limit": limit},
        )
        found.raise_for_status()
        return [item["record"] for item in found.json()["items"]]

    def respond(self, record_id: str, values: dict[str, Any] | None, status: str = "submitted") -> str:
        """Answer a record; returns the response's id."""
        given = values and {name: {"value": value} for name, value in values.items()}
        found = self.http.post(
            f"/api/v1/records/{record_id}/responses", json={"values": given, "status": status}
        )
        found.raise_for_status()
        return found.json()["id"]

    def respond_all(self, answers: dict[str, dict[str, Any]]) -> None:
        """Submit answers to many records (by record id) in one request."""
        items = [
            {
                "record_id": id,
                "status": "submitted",
                "values": {name: {"value": value} for name, value in values.items()},
            }
            for id, values in answers.items()
        ]
        found = self.http.post("/api/v1/me/responses/bulk", json={"items": items})
        found.raise_for_status()
        assert [item["error"] for item in found.json()["items"]] == [None] * len(items)

    def edit(self, response_id: str, values: dict[str, Any] | None, status: str = "submitted") -> None:
        """Answer again."""
        given = values and {name: {"value": value} for name, value in values.items()}
        self.http.put(
            f"/api/v1/responses/{response_id}", json={"values": given, "status": status}
        ).raise_for_status()


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a running server; its environment is made on the very first use."""
    pytest.importorskip(
        "argilla", reason="the review extra is not installed (pip install 'lrm-curate[review]')"
    )
    home = tmp_path_factory.mktemp("review-server")
    process.start(home, 0, REVIEWERS)
    Client(embedded_target(home)).ensure_reviewers(credentials.load(home).reviewers)
    yield home
    process.stop(home)


@pytest.fixture(scope="session")
def target(server_home: Path) -> ArgillaServer:
    return embedded_target(server_home)


@pytest.fixture(scope="session")
def client(target: ArgillaServer) -> Client:
    return Client(target)


@pytest.fixture(scope="session")
def people(client: Client) -> dict[str, Person]:
    return _people_of(client)


@pytest.fixture(scope="session")
def people_of() -> Callable[[Client], dict[str, Person]]:
    """Every reviewer of a server."""
    return _people_of


@pytest.fixture(scope="session")
def nasty_texts() -> dict[str, str]:
    return NASTY


def _people_of(client: Client) -> dict[str, Person]:
    users = client.request("GET", "users")["items"]
    return {
        u["username"]: Person(client.url, u["username"], u["api_key"])
        for u in users
        if u["role"] == "annotator"
    }


@pytest.fixture
def samples(tmp_path: Path) -> Store:
    """The bundled samples with their author's labels as if a machine had made them."""
    folder = tmp_path / "samples"
    for name in ("traces.jsonl", "labels.jsonl"):
        ingest.run(folder, [str(SAMPLES / name)], IngestRecipe())
    return Store(folder)


@pytest.fixture
def corpus_of(tmp_path: Path) -> Callable[..., Store]:
    """A corpus of traces given by their texts, with machine annotations."""

    def _corpus_of(texts: list[dict[str, str]], annotations: list[dict] | None = None) -> Store:
        corpus = Store.create(tmp_path / "small")
        rows = [
            {
                "trace_id": f"t{i}",
                "prompt_id": f"p{i}",
                "prompt": "?",
                "reasoning": "",
                "answer": "",
                "sample_index": 0,
            }
            | row
            for i, row in enumerate(texts)
        ]
        corpus.append_rows("traces", rows)
        corpus.append_rows("annotations", annotations or [])
        return corpus

    return _corpus_of
