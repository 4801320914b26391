"""A corpus to look at, and its page on a real port."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the extra `view` is not installed")

from curation.corpus.store import Store
from curation.view.app import make_app
from curation.view.guard import PageGuard
from curation.view.serving import bound, settings
from curation.view.workplace import Workplace

Serve = Callable[..., tuple[str, str]]


@pytest.fixture
def place(filled: Store) -> Workplace:
    return Workplace(filled.root, reviewer="ann")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a corpus until the test ends; gives the page's origin and the address with the token."""
    import uvicorn

    running = []

    def start(corpus: Path, mixes: tuple[Path, ...] = ()) -> tuple[str, str]:
        listening = bound(0)
        port = listening.getsockname()[1]
        guard = PageGuard(make_app(Workplace(corpus, mixes, reviewer="ann")), port)
        server = uvicorn.Server(settings(guard))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread, listening))
        return f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}/?token={guard.token}"

    yield start
    for server, thread, listening in running:
        server.should_exit = True
        thread.join(10)
        listening.close()
