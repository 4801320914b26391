"""The embedded server as people meet it: started, stopped, asked, and killed in the middle of work."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from curation.review import dataset as datasets
from curation.review import pull, push
from curation.review.client import ArgillaServer, Client, embedded_target, find_target
from curation.review.rounds import RoundRecipe
from curation.review.server import credentials, environment, process
from schemas import ServerError
from tests.curation.review.conftest import changes


def curate(*arguments: object, expect: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "curation.cli", "review", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ARGILLA_")}
    done = subprocess.run(command, capture_output=True, text=True, env=clean, cwd=cwd, timeout=240)
    assert done.returncode == expect, done.stderr
    return done


@pytest.fixture(scope="module")
def home(server_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of its own, for servers that are killed."""
    folder = tmp_path_factory.mktemp("killed-server")
    yield folder
    process.stop(folder)


def kill(home: Path) -> None:
    server = process.running(home)
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    while process.running(home):
        time.sleep(0.02)


def restart(home: Path) -> Client:
    process.start(home, 0)
    return Client(embedded_target(home))


def test_start_status_logs_and_stop_on_the_command_line_and_home_may_be_relative(home: Path) -> None:
    started = curate(
        "server", "start", "--home", home.name, "--port", 0, "--reviewers", "ann,bob", cwd=home.parent
    )
    url = started.stdout.strip()
    assert url.startswith("http://127.0.0.1:") and "accounts: owner, ann, bob" in started.stderr
    assert json.loads(curate("server", "status", "--home", home, "--json").stdout)["url"] == url
    assert (
        curate("server", "start", "--home", home, "--reviewers", "cyd").stdout.strip() == url
    )  # adds a person
    assert {user.name for user in Client(embedded_target(home)).users()} == {"owner", "ann", "bob", "cyd"}
    assert "Running upgrade" in curate("server", "logs", "--home", home, "-n", 100).stdout
    curate("server", "stop", "--home", f"../{home.name}", cwd=home)
    assert curate("server", "status", "--home", home, expect=1).stdout.startswith("not running")
    assert "no review server was running" in curate("server", "stop", "--home", home).stderr


def test_serve_stays_in_the_foreground_until_ctrl_c(home: Path) -> None:
    command = [sys.executable, "-m", "curation.cli", "review", "serve", "--home", str(home), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as serving:
        assert serving.stdout is not None
        assert serving.stdout.readline().startswith("http://127.0.0.1:")
        assert process.running(home) is not None
        os.killpg(serving.pid, signal.SIGINT)
        assert serving.wait(30) == 0
    assert process.running(home) is None


def test_passwords_are_generated_kept_and_readable_by_the_user_alone(home: Path) -> None:
    path = home / credentials.FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(home.stat().st_mode) == 0o700
    before = credentials.load(home)
    assert credentials.ensure(home, ["ann"]) == before
    assert len({before.owner.password, before.api_key, *(a.password for a in before.reviewers)}) == 5


def test_no_password_or_key_stands_in_a_process_list(server_home: Path, target: ArgillaServer) -> None:
    known = credentials.load(server_home)
    secret_key = json.loads((server_home / credentials.FILE).read_text())["secret_key"]
    secrets = [secret_key, known.api_key, known.owner.password, *(a.password for a in known.reviewers)]
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(path.read_bytes().decode("utf-8", "replace"))
    assert any("embedded" in line and str(server_home) in line for line in lines)  # the server is running
    assert [secret for secret in secrets if any(secret in line for line in lines)] == []


def test_everyone_can_sign_in_with_their_password_and_strangers_cannot(
    server_home: Path, target: ArgillaServer
) -> None:
    import httpx

    known = credentials.load(server_home)
    for account in (known.owner, *known.reviewers):
        answer = httpx.post(f"{target.url}/api/v1/token", data=account._asdict())
        assert answer.status_code == 201, account.username
    assert (
        httpx.post(f"{target.url}/api/v1/token", data={"username": "ann", "password": "guess"}).status_code
        == 401
    )
    assert httpx.get(f"{target.url}/api/v1/me").status_code == 401


def test_other_web_pages_may_not_call_the_server(target: ArgillaServer) -> None:
    import httpx

    answer = httpx.get(f"{target.url}/api/v1/version", headers={"Origin": "https://example.org"})
    assert "access-control-allow-origin" not in answer.headers


def test_one_home_runs_one_server(server_home: Path, target: ArgillaServer) -> None:
    assert process.start(server_home, 0) is None
    assert embedded_target(server_home) == target


def test_a_port_that_is_taken_is_named(home: Path, target: ArgillaServer) -> None:
    with pytest.raises(
        ServerError, match=r"port \d+ of this machine cannot be had \(Address already in use\)"
    ):
        process.start(home, int(target.url.rsplit(":", 1)[1]))


def test_without_a_server_the_way_to_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARGILLA_API_URL", raising=False)
    monkeypatch.delenv("ARGILLA_API_KEY", raising=False)
    with pytest.raises(ServerError, match="curate review server start"):
        find_target(None, None, tmp_path)
    with pytest.raises(ServerError, match="no API key"):
        find_target("http://elsewhere", None, tmp_path)
    assert find_target("http://elsewhere", "key", tmp_path) == ("http://elsewhere", "key")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("localhost:6900", "http://localhost:6900"),
        ("127.0.0.1:6900/argilla", "http://127.0.0.1:6900/argilla"),
        ("[::1]:6900", "http://[::1]:6900"),
        ("review.example.org", "https://review.example.org"),
        ("ann:secret@review.example.org:8443", "https://ann:secret@review.example.org:8443"),
        ("http://review.example.org", "http://review.example.org"),
    ],
)
def test_an_address_without_a_scheme_is_plain_on_this_machine_and_encrypted_elsewhere(
    given: str, meant: str, tmp_path: Path
) -> None:
    assert find_target(given, "key", tmp_path).url == meant


def test_a_server_is_reached_without_its_scheme_and_a_reviewer_s_key_is_named(
    target: ArgillaServer, people: dict[str, Any], tmp_path: Path
) -> None:
    address = target.url.removeprefix("http://")
    assert Client(find_target(address, target.api_key, tmp_path)).users()
    key = people["ann"].http.headers["X-Argilla-Api-Key"]
    with pytest.raises(ServerError, match=r"API key of ann, who is a reviewer; .* an owner's key"):
        Client(find_target(address, key, tmp_path))
    with pytest.raises(ServerError, match="check --url and --api-key"):
        Client(find_target(address, "no-such-key", tmp_path))


def test_an_installation_that_fails_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "wheels").mkdir()
    with pytest.raises(ServerError, match=r"installing the review server failed[\s\S]*--wheels DIR"):
        environment.ensure(tmp_path / "wheels")
    assert not (environment.location() / environment.COMPLETE).exists()


def test_a_push_through_a_kill_9_is_finished_by_the_next(home: Path, samples) -> None:
    recipe = RoundRecipe(name="killed-push", traces=220, audit=1)
    client = restart(home)

    def kill_when_some_have_arrived() -> None:
        watcher = Client(embedded_target(home))
        while not (found := datasets.find(watcher, recipe.name)) or not datasets.stored(watcher, found):
            time.sleep(0.01)
        kill(home)

    killer = threading.Thread(target=kill_when_some_have_arrived)
    killer.start()
    with pytest.raises(ServerError, match="run the same command again"):
        push.run(samples.root, recipe, client=client)
    killer.join()
    client = restart(home)
    dataset = datasets.find(client, recipe.name)
    assert dataset is not None
    arrived = len(datasets.stored(client, dataset))
    assert 0 < arrived < 220
    again = push.run(samples.root, recipe, client=client)
    assert changes(again) == (220 - arrived, 0, arrived)
    assert len(datasets.stored(client, dataset)) == 220


def test_every_answer_the_server_took_survives_a_kill_9(home: Path, samples, people_of) -> None:
    recipe = RoundRecipe(name="killed-review", traces=120, audit=1)
    client = restart(home) if process.running(home) is None else Client(embedded_target(home))
    push.run(samples.root, recipe, client=client)
    dataset = datasets.find(client, recipe.name)
    assert dataset is not None
    taken: set[tuple[str, str]] = set()

    def review(name: str) -> None:
        person = people_of(client)[name]
        try:
            for trace_id, record in datasets.stored(client, dataset).items():
                person.respond(record.id, {"patterns": ["none"], "verdict": "keep"})
                taken.add((trace_id, name))
        except Exception:  # noqa: BLE001  the server is gone
            return

    reviewers = [threading.Thread(target=review, args=(name,)) for name in ("ann", "bob")]
    for reviewer in reviewers:
        reviewer.start()
    while len(taken) < 30:
        time.sleep(0.01)
    kill(home)
    for reviewer in reviewers:
        reviewer.join()
    assert len(taken) < 240
    pull.run(samples.root, round=recipe.name, client=restart(home))
    from curation.corpus.query import connect

    rows = (
        connect(samples)
        .execute("select trace_id, reviewer from reviews where status = 'submitted'")
        .fetchall()
    )
    assert taken <= set(rows)
