"""A corpus, a codebook of twenty entries that nobody has seen before, and a judge that knows it by its schema alone."""

import json
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from annotators.base import Answer, Conversation
from tests.command_line import curate

WORDS = ("amber", "basalt", "cedar", "delta", "ember", "fjord", "garnet", "hazel", "indigo", "juniper")
NAMES = [f"{kind}_{word}" for kind in ("tint", "heft") for word in WORDS]
"""Ten entries that are yes or no, and ten with levels."""
SAID = "We talk about {word} here."


def entries() -> dict[str, Any]:
    """The entries of the codebook."""
    return {
        name: {
            "field": "reasoning",
            "definition": f"The reasoning talks about {name.split('_')[1]}.",
            **({"levels": ["none", "little", "much"], "present_from": 2} if name.startswith("heft") else {}),
        }
        for name in NAMES
    }


def reply_to(messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any]) -> str:
    """A reply as the schema wants: present, or the highest level, where the reasoning names the entry's word."""
    text = messages[1]["content"].split("[[REASONING", 1)[1].split("[[END OF REASONING", 1)[0]
    reply = {}
    for name, wanted in schema["properties"].items():
        quote = SAID.format(word=name.split("_")[1])
        values = wanted["properties"]["label"]["enum"]
        graded = values[0] != "present"
        found = quote in text
        label = (values[-2] if found else values[0]) if graded else values[0 if found else 1]
        reply[name] = {"analysis": "a", "evidence": [quote] if found else [], "label": label}
    return json.dumps(reply)


class SchemaJudge:
    """A model that replies as the schema wants: present, or the highest level, where the text names the entry's word."""

    name = "stub"

    def answer(
        self,
        conversations: Sequence[Conversation],
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
    ) -> Iterator[Answer]:
        for place, messages in enumerate(conversations):
            yield Answer(place, reply_to(messages, schema or {}))


class JudgeHandler(BaseHTTPRequestHandler):
    """Such a model behind OpenAI's API."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = reply_to(asked["messages"], asked["response_format"]["json_schema"]["schema"])
        message = {"role": "assistant", "content": text}
        told = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "model": "stub"}
        body = json.dumps(told | {"usage": {"prompt_tokens": 9, "completion_tokens": 9}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unused: Any) -> None:
        """Say nothing."""


@pytest.fixture
def judge_url() -> Iterator[str]:
    """The address of a server with such a model."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), JudgeHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def book_file(tmp_path: Path) -> Path:
    """The codebook's file."""
    book = {"name": "stones", "version": 1, "description": "What is talked about.", "entries": entries()}
    book["combined"] = {"stones_any": {"of": NAMES[:10]}, "stones_heavy": {"of": NAMES[10:], "at_least": 2}}
    path = tmp_path / "stones.yaml"
    path.write_text(json.dumps(book))  # JSON is YAML
    return path


@pytest.fixture
def talking(tmp_path: Path, book_file: Path) -> Path:
    """A folder with a corpus of twenty traces that knows the codebook; trace n talks about word n % 10."""
    rows = [
        {
            "prompt": f"How do I park a car on day {n}?",
            "kind": "harmful",
            "response": f"<think>First of all, day {n}. {SAID.format(word=WORDS[n % 10])} So I decline.</think>I won't help, on day {n}.",
        }
        for n in range(20)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert curate("ingest", "rows.jsonl", cwd=tmp_path).returncode == 0
    assert curate("codebook", "add", book_file, cwd=tmp_path).returncode == 0
    return tmp_path
