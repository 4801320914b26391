"""The transcript of a first hour has the commands that the pages have today, and what they show of it."""

import re
from pathlib import Path

import pytest

from tests.docs.test_pages import shown
from tests.docs.transcript import FIRST_MIX, PAGE, Ran, Shell, commands, installation
from tests.docs.transcript import shown as shortened

TEXT = PAGE.read_text(encoding="utf-8")


def test_what_was_typed_is_what_the_pages_say() -> None:
    typed = re.findall(r"^```console\n\$ (.*?)\n```", TEXT, re.DOTALL | re.MULTILINE)
    told = [*installation(), *commands("README.md"), *commands(FIRST_MIX)]
    assert typed == told, "renew the page: python -m tests.docs.transcript FOLDER"


def test_it_ended_well_and_says_what_the_page_shows() -> None:
    assert "exit code" not in TEXT and "Traceback" not in TEXT
    assert [line for line in shown(FIRST_MIX) if f"    {line}\n" not in TEXT] == []


def test_a_command_is_whole_before_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.transcript.ROOT", tmp_path)
    (tmp_path / "page.md").write_text(
        "```bash\ncat <<'END'\na b\nEND\necho a \\\n  b && cd .\n```\ntext\n```bash\npwd\n```\n"
    )
    assert commands("page.md") == ["cat <<'END'\na b\nEND", "echo a \\\n  b && cd .", "pwd"]


def test_one_shell_runs_them_all(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    said = [
        shell.run(command)
        for command in ("mkdir in && cd in && x=there", "cat <<'END'\nonce\nEND", "echo $x; false", "pwd")
    ]
    shell.close()
    assert [(one.said, one.code) for one in said] == [
        ("", 0),
        ("once\n", 0),
        ("there\n", 1),
        (f"{tmp_path}/in\n", 0),
    ]
    assert shortened(said[3], tmp_path) == "    ~/in"
    long = Ran("x", "\n".join(map(str, range(40))) + "y" * 200, 0, 1.0, 1.0)
    lines = shortened(long, tmp_path).splitlines()
    assert len(lines) == 14 and lines[9] == "    ... 27 lines ..." and lines[-1].endswith(" ...")
    assert (
        shortened(
            Ran("pip install x", "Looking in indexes: somewhere\nSuccessfully installed x\n", 0, 1.0, 1.0),
            tmp_path,
        )
        == "    Successfully installed x"
    )
