"""People at work, for the crash harness: one labels traces on the page of `curate view`, one decides a round's disputes in Argilla.

    python -c "from benchmarks._people import main; main()" label CORPUS
    python -c "from benchmarks._people import main; main()" decide CORPUS       # with argilla.json: url, api_key

Who labels keeps a journal of what the page has acknowledged, and after a kill sends only the rest: what was acknowledged and lost
would stay lost, and what was saved without an acknowledgement is sent twice.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from curation.corpus.store import Store
from curation.review.client import ArgillaServer, Client, embedded_target
from curation.review.server import credentials, process
from schemas.patterns import RISKY_PATTERNS

JOURNAL = Path("labelled.txt")
SERVER = Path("argilla.json")
DECIDED = Path("decided") / "records.json"
ROUND, ADJUDICATOR = "round-1", "fay"
LABELLED = 3
"""Traces that are labelled, each in three saves."""


def main() -> None:
    """Do one person's work."""
    work = {"label": label, "decide": decide, "anew": anew}[sys.argv[1]]
    work(Path(sys.argv[2]))


def forms(corpus: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is saved, in order: a note without a label, a label, and another label of each trace."""
    for number, trace in enumerate(sorted(Store(corpus).keys("traces"))[:LABELLED]):
        pattern = RISKY_PATTERNS[number % len(RISKY_PATTERNS)]
        yield trace, {"note": f"note {number}", "action": "save"}
        yield trace, {"note": f"note {number}", "pattern": pattern, "verdict": "repair", "action": "next"}
        yield trace, {"note": "seen again", "pattern": "none", "verdict": "keep", "action": "save"}


def label(corpus: Path) -> None:
    """Start the page, save what the journal has not yet, and stop the page."""
    words = [
        sys.executable,
        "-m",
        "curation",
        "view",
        "--port",
        "0",
        "--name",
        "ann",
        "--corpus",
        str(corpus),
    ]
    page = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        save(corpus, page)
    finally:
        page.terminate()
        page.wait()


def save(corpus: Path, page: "subprocess.Popen[str]") -> None:
    """Save on a page that starts what the journal has not yet."""
    assert page.stdout is not None
    address = page.stdout.readline().strip()
    origin = f"http://{urlsplit(address).netloc}"
    done = len(JOURNAL.read_text().splitlines()) if JOURNAL.exists() else 0
    with (
        httpx.Client(base_url=origin, headers={"origin": origin}, timeout=60) as browser,
        JOURNAL.open("a") as journal,
    ):
        browser.get(address, follow_redirects=True).raise_for_status()
        for trace, form in list(forms(corpus))[done:]:
            saved = browser.post("/trace", params={"id": trace}, data=form)
            assert saved.status_code == 303, saved.text
            journal.write(f"{trace}\n")
            journal.flush()


def decide(corpus: Path) -> None:
    """Send the disputes of a round, decide what waits, fetch the decisions, and keep what the server has then."""
    from curation.review import dataset as datasets
    from curation.review import pull
    from curation.review.planning import adjudication

    client = connect()
    name = adjudication.run(corpus, round=ROUND, adjudicator=ADJUDICATOR, client=client).recipe["name"]
    dataset = datasets.find(client, str(name))
    assert dataset is not None
    user = next(user for user in client.request("GET", "users")["items"] if user["username"] == ADJUDICATOR)
    with httpx.Client(base_url=client.url, headers={"X-Argilla-Api-Key": user["api_key"]}, timeout=60) as fay:
        for record in datasets.responses(client, dataset):
            if not record["responses"]:
                values = {"patterns": {"value": ["none"]}, "verdict": {"value": "keep"}}
                answer = {"values": values, "status": "submitted"}
                fay.post(f"/api/v1/records/{record['id']}/responses", json=answer).raise_for_status()
    pull.run(corpus, round=str(name), client=client)
    DECIDED.parent.mkdir(exist_ok=True)
    there = sorted(
        [record["external_id"], record["fields"], [(r["status"], r["values"]) for r in record["responses"]]]
        for record in datasets.responses(client, dataset)
    )
    DECIDED.write_text(json.dumps(there))


def anew(corpus: Path) -> None:
    """Take the decisions off the server: the next trial starts without."""
    client = connect()
    for entry in client.request("GET", "me/datasets")["items"]:
        if entry["name"].startswith(f"{ROUND}-adjudication"):
            client.request("DELETE", f"datasets/{entry['id']}")


@contextmanager
def argilla(home: Path, folder: Path) -> Iterator[None]:
    """A server of one's own, which whoever works in the folder finds there."""
    process.start(home, 0, [ADJUDICATOR])
    try:
        target = embedded_target(home)
        Client(target).ensure_reviewers(credentials.load(home).reviewers)
        (folder / SERVER).write_text(json.dumps(target._asdict()))
        yield
    finally:
        process.stop(home)


def connect() -> Client:
    """The server that stands beside the corpus."""
    return Client(ArgillaServer(**json.loads(SERVER.read_text())))
