"""A lab's codebook, traces that quote its own examples, and a stub server that judges and answers as the file says.

Nothing here names an entry: what shows an entry is its first example in the file.
"""

import json
import re
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest

from curation.codebook.stage import load
from schemas.codebooks import Codebook, Pattern
from tests.command_line import curate

FILE = Path(__file__).with_name("desk.yaml")
BOOK = load(FILE)
FILLER = {
    "Query": "How do I get a permit, number {n}?",
    "Reasoning": "Case {n}.",
    "Answer": "So much for {n}.",
}


class Shown(NamedTuple):
    """What shows an entry."""

    field: str
    """Query, Reasoning or Answer."""
    words: str


def shown(entry: Pattern) -> Shown:
    """The words of an entry's first example."""
    field, _, words = entry.present[0].partition(": ")
    return Shown(field, words.strip("'"))


def top(entry: Pattern) -> Any:
    """What a judge says of an entry that is shown: its highest level or number, or that it is present."""
    return entry.levels[-1] if entry.levels else entry.highest if entry.range else "present"


def bottom(entry: Pattern) -> Any:
    """The same of one that is not shown."""
    return entry.levels[0] if entry.levels else entry.lowest if entry.range else "absent"


def text_with(entries: list[Pattern], n: int) -> dict[str, str]:
    """A query, a reasoning and an answer that show these entries."""
    words: dict[str, list[str]] = {field: [filler.format(n=n)] for field, filler in FILLER.items()}
    for entry in entries:
        words[shown(entry).field].append(shown(entry).words)
    return {field: " ".join(said) for field, said in words.items()}


def verdicts(messages: list[Mapping[str, str]]) -> dict[str, Any]:
    """A judge's reply about the texts between the markers of its question."""
    seen = dict(
        re.findall(r"\[\[(QUERY|REASONING|ANSWER) \w+\]\]\n(.*?)\n\[\[END", messages[1]["content"], re.DOTALL)
    )
    reply = {}
    for name, entry in BOOK.entries.items():
        field, words = shown(entry)
        there = words in seen[field.upper()]
        rule = {"rule": next(iter(entry.rules)) if there else "none"} if entry.rules else {}
        reply[name] = {
            "analysis": "a", "evidence": [words] if there and field != "Query" else [], **rule,
            "label": (top if there else bottom)(entry),
        }  # fmt: skip
    return reply


class DeskHandler(BaseHTTPRequestHandler):
    """OpenAI's API: a question with a JSON schema is the judge's; any other is put to a model that shows the first graded entry."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "response_format" in asked:
            text = json.dumps(verdicts(asked["messages"]))
        else:
            entry = next(entry for entry in BOOK.entries.values() if entry.levels)
            said = text_with([entry], 0)
            text = f"<think>\n{said['Reasoning']}\n</think>\n\n{said['Answer']}"
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        told = {"choices": [choice], "model": "stub", "usage": {"prompt_tokens": 9, "completion_tokens": 9}}
        self._send(told)

    def do_GET(self) -> None:
        self._send({"data": [{"id": "stub", "object": "model"}], "object": "list"})

    def _send(self, told: dict[str, Any]) -> None:
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unused: Any) -> None:
        """Say nothing."""


@pytest.fixture
def book() -> Codebook:
    return BOOK


@pytest.fixture
def stub_url() -> Iterator[str]:
    """The address of the stub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), DeskHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a corpus that knows the codebook; trace n shows entries n and n + 10 of it, as far as they go together."""
    entries = list(BOOK.entries.values())
    rows = []
    for n in range(10):
        said = text_with([entries[n], entries[n + 10]], n)
        rows.append(
            {
                "prompt": said["Query"],
                "kind": "benign",
                "reasoning": said["Reasoning"],
                "answer": said["Answer"],
            }
        )
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for command in (("ingest", "rows.jsonl"), ("codebook", "add", FILE)):
        done = curate(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    return tmp_path
