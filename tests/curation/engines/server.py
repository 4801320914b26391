"""A server that speaks the OpenAI protocol as a script says."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from curation.engines import Sampling
from curation.engines.openai import OpenAIEngine, ServerSettings

GOOD = {
    "choices": [
        {"message": {"reasoning": "That is fine.", "content": "Here you are."}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 12, "completion_tokens": 10},
}


Script = Callable[[int, dict[str, Any]], Any]


class Server:
    """Answers the n-th request as a script says: a dict is JSON, an int a status, bytes a raw reply, None silence."""

    def __init__(self, script: Script, port: int = 0) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append({"path": self.path, **body})
                outer.headers.append(dict(self.headers))
                outer.say(self, script(len(outer.asked), body))

            def log_message(self, *unused: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._http.server_port
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def say(self, handler: BaseHTTPRequestHandler, said: Any) -> None:
        if said is None:
            time.sleep(1.0)
            handler.close_connection = True
            return
        status, data = (said, b"no") if isinstance(said, int) else (200, said)
        if isinstance(data, dict):
            data = json.dumps(data).encode()
        handler.send_response(status)
        if status == 429:
            handler.send_header("retry-after", "0")
        half = data.startswith(b"HALF")
        handler.send_header("content-length", str(len(data) * (2 if half else 1)))
        handler.end_headers()
        handler.wfile.write(data)
        handler.close_connection = half

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(script: Script, port: int = 0) -> Server:
        servers.append(Server(script, port))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def settings(server: Server, **more: Any) -> ServerSettings:
    return ServerSettings.model_validate(
        {"base_url": server.base_url, "patience_s": 1.5, "timeout_s": 0.5, "concurrency": 4} | more
    )


def ask(server: Server, n: int = 1, **more: Any) -> list[Any]:
    engine = OpenAIEngine("m", settings(server, **more))
    return engine.chat([[{"role": "user", "content": f"Q{i}"}] for i in range(n)], Sampling(temperature=0.5))


def message(**fields: Any) -> dict[str, Any]:
    return {**GOOD, "choices": [{"message": fields, "finish_reason": "stop"}]}
