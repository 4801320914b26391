"""A mix that cannot be written leaves no text behind."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from curation.corpus.store import Store, write_parquet
from curation.mix import build as mix
from curation.mix import folder
from schemas.errors import CorpusError
from schemas.tables import TRACES

RECIPE = "name: x\nparts:\n  a: {where: \"kind = 'harmful'\", take: 5}\n"


def left(place: Path) -> list[str]:
    return sorted(
        path.name for path in place.rglob("*") if path.name.startswith((".building", ".locked", ".tmp"))
    )


@pytest.mark.parametrize("target", ["a file", "a link", "the root", "a full folder"])
def test_a_target_that_cannot_be_replaced_is_told_before_anything_is_written(
    filled: Store, tmp_path: Path, target: str
) -> None:
    out = tmp_path / "out"
    if target == "a file":
        out.write_text("x")
    elif target == "a link":
        out.symlink_to(tmp_path / "elsewhere")
    elif target == "a full folder":
        out.mkdir()
        (out / "mine.txt").write_text("x")
    else:
        out = Path("/")
    (tmp_path / "r.yaml").write_text(RECIPE)
    with pytest.raises(CorpusError, match="set --out to a new folder"):
        mix.run(filled.root, tmp_path / "r.yaml", out=out)
    assert left(tmp_path) == []


def test_an_error_in_the_middle_leaves_nothing(
    build: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(RECIPE)
    for error in (CorpusError("full"), KeyboardInterrupt(), SystemExit(143)):

        def broken(*_: object, error: BaseException = error) -> str:
            raise error

        monkeypatch.setattr(folder, "card", broken)
        with pytest.raises(type(error)):
            build(RECIPE, out="mix")
        assert left(tmp_path) == [] and len(folder.read_rows(tmp_path / "mix")) == 5


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_build_leaves_nothing_and_says_so(tmp_path: Path, kind: signal.Signals) -> None:
    corpus = Store.create(tmp_path / "corpus")
    row = {"prompt": "q", "reasoning": "r" * 3000, "answer": "a", "sample_index": 0}
    rows = [row | {"trace_id": f"t{n}", "prompt_id": f"p{n}"} for n in range(60_000)]
    write_parquet(corpus.root / "traces" / "part-0.parquet", pa.Table.from_pylist(rows, TRACES))
    (tmp_path / "r.yaml").write_text("name: x\njsonl: true\nparts: {a: {where: 'true'}}\n")
    command = [sys.executable, "-m", "curation", "build-mix", "r.yaml", "--corpus", "corpus", "--out", "mix"]
    # others come first, this test too, or a busy machine lets the build end before it is stopped
    process = subprocess.Popen(
        ["nice", "-n", "19", *command], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while process.poll() is None and not (tmp_path / ".building-mix").exists():
        time.sleep(0.005)
    process.send_signal(kind)
    _, said = process.communicate()
    assert process.returncode == (143 if kind == signal.SIGTERM else 130), said
    assert left(tmp_path) == [] and not (tmp_path / "mix").exists()
