"""The page of typical mistakes shows what the commands say today."""

import json
import re
import shlex
from pathlib import Path

import pytest

from curation.cli import app as curate
from curation.commands.running import run_app
from curation.ingest import stage as ingest
from curation.ingest.stage import IngestRecipe
from sft.cli import app as sft

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "mistakes.md").read_text(encoding="utf-8")
MISTAKES = re.findall(r"^```console\n\$ (.*)\n((?:.*\n)+?)```", PAGE, re.MULTILINE)
RECIPES = {
    "limit": "  a: {limit: 10, where: 'true'}",
    "none": "  a: {take: 10, where: \"strategy = 'improvde'\"}",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the samples in a corpus, and the files that the page names."""
    folder = tmp_path_factory.mktemp("mistakes")
    ingest.run(folder / "corpus", [str(ROOT / "curation" / "samples" / "traces.jsonl")], IngestRecipe())
    (folder / "odd.csv").write_text("id,answer\n1,hello\n")
    whole = json.dumps({"prompt": "a", "response": "<think>x</think>y"})
    (folder / "half.jsonl").write_text(f"{whole}\n{{broken\n")
    for name, part in RECIPES.items():
        (folder / f"{name}.yaml").write_text(f"name: {name}\nparts:\n{part}\n")
    (folder / "part.yaml").write_text("name: x\npart:\n  a: {where: 'true'}\n")
    return folder


def test_the_page_has_twenty() -> None:
    assert len(MISTAKES) == 20


@pytest.mark.parametrize(("command", "message"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_a_mistake_gets_this_message(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    message: str,
) -> None:
    monkeypatch.chdir(project)
    program, *words = shlex.split(command)
    monkeypatch.setattr("sys.argv", [program, *words])
    with pytest.raises(SystemExit) as ended:
        run_app({"curate": curate, "sft": sft}[program])
    said = words_of("".join(capfd.readouterr()))
    assert words_of(message) in said
    assert "Traceback" not in said
    assert ended.value.code == (
        0 if "half.jsonl --kind harmful --" in command else 2 if "Usage" in said else 1
    )


def words_of(text: str) -> str:
    """Without the frame and the line breaks that a narrow terminal makes."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())
