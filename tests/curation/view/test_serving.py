"""`curate view` as a program that others start: the address that it prints is one that answers."""

import socket
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.view.serving import serve


def test_who_reads_the_address_may_come_at_once(
    filled: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uvicorn = pytest.importorskip("uvicorn", reason="the extra `view` is not installed")

    def come(server: Any, sockets: list[socket.socket]) -> None:
        address = sockets[0].getsockname()
        assert f":{address[1]}/?token=" in capsys.readouterr().out
        socket.create_connection(address, timeout=5).close()

    monkeypatch.setattr(uvicorn.Server, "run", come)
    serve(filled.root, [], reviewer="ann", port=0)
