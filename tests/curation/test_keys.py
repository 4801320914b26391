"""A key that a server echoes is stored nowhere and shown nowhere, whatever the command."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from schemas.errors import ServerError
from schemas.hiding import MARK
from tests.command_line import curate

KEY = 'sk-live/9fQ+"Zx81 TqLm~4w7Hb'.replace(" ", "%")
PASSWORD = "hunter2-of-the-url"
WAYS = (
    "body 200",
    "error in 200",
    "pieces in 200",
    "finish reason",
    "body 401",
    "body 400",
    "redirect",
    "header",
    "raw 200",
    "utf-16",
    "base64 400",
)


class Echo(BaseHTTPRequestHandler):
    """Answers every request with its Authorization header, in the way that the path names."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        way = WAYS[int(self.path.split("/")[1])]
        held = self.headers.get("authorization") or self.headers.get("x-argilla-api-key") or ""
        told = base64.b64decode(held.split()[1]).decode() if held.startswith("Basic") else held
        self.say(way, f"You sent {told} ({held}), which is {base64.b64encode(held.encode()).decode()}")

    def say(self, way: str, told: str) -> None:
        status = {"body 401": 401, "body 400": 400, "redirect": 302, "utf-16": 400, "base64 400": 400}.get(
            way, 200
        )
        message = {"content": f"<think>I saw {told}</think>It is {quote(told)}"}
        choice = {"message": message, "finish_reason": told if way == "finish reason" else "stop"}
        body: object = {"choices": [choice]}
        if way == "pieces in 200":
            message["content"] = [{"type": "text", "text": told[n : n + 5]} for n in range(0, len(told), 5)]  # type: ignore[assignment]
        if way in ("error in 200", "body 401", "body 400"):
            body = {"error": {"message": told, "type": told}}
        data = json.dumps(body).encode()
        if way == "base64 400":
            data = base64.encodebytes(told.encode())
        if way in ("raw 200", "utf-16"):
            data = told.encode("utf-16" if way == "utf-16" else "utf-8")
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.send_header("location" if way == "redirect" else "retry-after", quote(told))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *unused: object) -> None:
        pass


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def everything(folder: Path) -> str:
    """All that is stored: the bytes of every file, and the text of every Parquet file."""
    import pyarrow.parquet as pq

    texts = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        texts.append(path.read_bytes().decode("utf-8", "replace"))
        if path.suffix == ".parquet":
            texts.append(json.dumps(pq.read_table(path).to_pylist(), ensure_ascii=False))
    return "\n".join(texts)


def leaks(text: str, secret: str = KEY) -> list[str]:
    """What of the key is in a text, as it is or without what does not show."""
    plain = "".join(character for character in text if character.isprintable() and character != "�")
    coded = base64.b64encode(b"Bearer " + secret.encode()).decode()
    wanted = (secret, secret[:12], secret[-10:], quote(secret, safe=""), secret.encode().hex(), coded[12:30])
    return [form for form in wanted if form in text or form in plain or json.dumps(form)[1:-1] in text]


@pytest.mark.parametrize(
    ("way", "by"),
    [*((way, "variable") for way in range(len(WAYS))), (0, "address"), (4, "address"), (8, "address")],
)
def test_a_key_that_a_server_echoes_is_nowhere(tmp_path: Path, echo: int, way: int, by: str) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "What is tea?", "kind": "benign"}\n')
    assert curate("ingest", "p.jsonl", cwd=tmp_path).returncode == 0
    secret, variable = (KEY, "ODD_NAME") if by == "variable" else (PASSWORD, "NOT_SET")
    login = "" if by == "variable" else f"me:{PASSWORD}@"
    (tmp_path / "g.yaml").write_text(
        json.dumps({
            "strategies": ["default"],
            "engine": {"model": "m", "kind": "openai", "server": {
                "base_url": f"http://{login}127.0.0.1:{echo}/{way}/v1", "api_key_env": variable, "patience_s": 0.3}},
        })
    )  # fmt: skip
    environment = {"ODD_NAME": KEY, "CURATE_ALLOW_ENV": "ODD_NAME,NOT_SET"}
    done = curate("generate", "g.yaml", "--json", cwd=tmp_path, **environment)
    shown = done.stdout + done.stderr
    read = "".join(
        curate("sql", f"from {t}", "--json", cwd=tmp_path).stdout for t in ("traces", "quarantine")
    )
    assert MARK in shown + read or way in (6, 7, 8), shown
    assert leaks(shown, secret) == [] and leaks(read, secret) == []
    (tmp_path / "g.yaml").unlink()
    assert leaks(everything(tmp_path), secret) == []


def test_the_key_of_a_review_server_is_not_shown(tmp_path: Path, echo: int) -> None:
    pytest.importorskip("argilla")
    curate("ingest", "p.jsonl", cwd=tmp_path)
    for way in (4, 5, 8):
        done = curate(
            "review", "pull", "--url", f"http://127.0.0.1:{echo}/{way}", "--api-key", KEY, cwd=tmp_path
        )
        assert done.returncode == 1 and leaks(done.stdout + done.stderr) == []


def test_an_error_of_python_code_holds_no_password() -> None:
    error = ServerError(
        "http://me:pass-word@host/v1: refused; Authorization: Bearer abc123def456; hf_abcdefgh1234"
    )
    assert str(error) == f"http://{MARK}@host/v1: refused; Authorization: Bearer {MARK}; {MARK}"


@pytest.mark.parametrize("key", ["sk-ключ-123456", "sk-12345\nx: y", "sk-1234 56789"])
def test_a_key_that_no_header_holds_is_named_by_its_variable(tmp_path: Path, echo: int, key: str) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "What is tea?"}\n')
    curate("ingest", "p.jsonl", cwd=tmp_path)
    done = curate(
        "generate", "--model", "m", "--base-url", f"http://127.0.0.1:{echo}/0/v1",
        "--strategies", "default", cwd=tmp_path, OPENAI_API_KEY=key,
    )  # fmt: skip
    assert done.returncode == 1 and "$OPENAI_API_KEY: character" in done.stderr
    assert leaks(done.stderr, key) == [] and "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["99999", "x", "-1", "0"])
def test_an_impossible_port_is_named(tmp_path: Path, port: str) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "What is tea?"}\n')
    curate("ingest", "p.jsonl", cwd=tmp_path)
    url = f"http://me:{PASSWORD}@localhost:{port}/v1"
    done = curate("generate", "--model", "m", "--base-url", url, "--strategies", "default", cwd=tmp_path)
    assert done.returncode == 2 and "no address of a server" in done.stderr and PASSWORD not in done.stderr
