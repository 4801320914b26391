"""Ctrl-C stops every long command at once, in the middle of its work and while it waits (`python -m benchmarks stopping` measures it)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import stopping

Commands = tuple[Path, dict[str, tuple[str, ...]]]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    folder = tmp_path_factory.mktemp("stopping")
    with stopping.prepared(folder) as commands:
        yield folder, commands


@pytest.mark.slow
@pytest.mark.parametrize("name", stopping.COMMANDS)
def test_ctrl_c_stops_a_command_at_once_and_says_how_to_go_on(commands: Commands, name: str) -> None:
    folder, lines = commands
    stopped = stopping.stop(folder, lines[name], at_work=2.0)
    assert stopped.cpu < 2, stopped  # of processor time, so that a busy machine does not count
    assert stopped.code == 130 and "Traceback" not in stopped.said
    assert stopped.said.strip().splitlines()[-1].startswith("stopped: ")


def test_the_harness_sees_a_command_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = "import signal, time\nsignal.signal(2, lambda *_: None)\nwhile time.process_time() < 4: pass"
    (tmp_path / "curation").mkdir()
    (tmp_path / "curation" / "__init__.py").write_text("")
    (tmp_path / "curation" / "__main__.py").write_text(stubborn)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    stopped = stopping.stop(tmp_path, (), at_work=1.0)
    assert stopped.cpu > 2 and stopped.code == 0
