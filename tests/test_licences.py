"""The list of licences in docs/security.md."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("licences", ROOT / "requirements" / "licences.py")
assert spec and spec.loader
licences = importlib.util.module_from_spec(spec)
spec.loader.exec_module(licences)
PAGE = licences.PAGE.read_text(encoding="utf-8")


def test_every_direct_dependency_is_listed_with_a_licence() -> None:
    listed = dict(re.findall(r"^\| ([\w.-]+) \| [\w-]* ?\| (.+) \|$", PAGE, re.MULTILINE))
    missing = [name for name in licences.direct() if name not in listed]
    assert missing == [], "run: python requirements/licences.py"
    assert [name for name in licences.direct() if listed[name].startswith("not ")] == []
    assert len(licences.direct()) > 30


def test_a_new_dependency_comes_into_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "direct", lambda: {"pytest": "dev", "no-such-package": "dev"})
    renewed = licences.renewed(PAGE)
    assert "| pytest | dev | MIT |" in renewed and "| no-such-package | dev | not installed" in renewed
