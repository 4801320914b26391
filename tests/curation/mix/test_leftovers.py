"""A mix that cannot be written leaves no text behind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from curation.corpus.store import Store
from curation.mix import build as mix
from curation.mix import folder
from schemas.errors import CorpusError

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
