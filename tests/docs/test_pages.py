"""The command blocks of the pages for newcomers run as they stand, one after the other in one shell, and every table is today's."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import tables

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "curation" / "samples"


def blocks(page: str) -> str:
    """The commands of a page; each block is shown before it runs, so that a failure names it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


@pytest.fixture
def shell(tmp_path: Path) -> Path:
    """A folder whose `bin` has the programs as an installation would."""
    (tmp_path / "bin").mkdir()
    for name, module in (("curate", "curation"), ("sft", "sft")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return tmp_path


def run(shell: Path, commands: str) -> str:
    """What the commands print; the first that fails ends the test."""
    environment = {
        **os.environ,
        "PATH": f"{shell / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands],
        cwd=shell,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def shown(page: str) -> list[str]:
    """The lines of output that a page shows."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^    ((?:run|ingest|build-mix|decontaminate): .*)$", text, re.MULTILINE)


@pytest.mark.slow
def test_the_first_mix_is_made_as_the_page_says(shell: Path, shared_data: Path) -> None:
    names = ("star1.json", "math500.jsonl", "xstest_safe_150.jsonl")
    fetched = "\n".join(f"cp {shared_data / name} data/" for name in names)
    commands = blocks("docs/first-mix.md").replace(
        "cat > pipeline.yaml", f"{fetched}\ncat > pipeline.yaml", 1
    )
    said = run(shell, commands)
    assert [line for line in shown("docs/first-mix.md") if line not in said] == []
    assert (shell / "safety-mix" / "train.jsonl").stat().st_size > 100_000


@pytest.mark.slow
def test_the_readme_goes_from_nothing_to_a_mix(shell: Path) -> None:
    assert "build-mix: 226 rows" in run(shell, blocks("README.md"))
    assert (shell / "my-project" / "mixes" / "first-mix" / "manifest.json").is_file()


@pytest.mark.slow
def test_traces_of_ones_own_come_in_as_the_page_says(shell: Path) -> None:
    said = run(shell, blocks("docs/bring-your-own.md"))
    assert len(shown("docs/bring-your-own.md")) == 4
    assert [line for line in shown("docs/bring-your-own.md") if line not in said] == []


@pytest.mark.slow
def test_the_commands_at_scale_run_on_small_files(shell: Path) -> None:
    rows = (SAMPLES / "traces.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    for number in (1, 2):
        (shell / f"part-{number}.jsonl").write_text("".join(rows[number::8]), encoding="utf-8")
    shutil.copyfile(SAMPLES / "eval_prompts.jsonl", shell / "eval.jsonl")
    said = run(shell, blocks("docs/scale.md"))
    assert "compact" in said and "Traceback" not in said


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
)
def test_every_file_that_a_page_links_is_there(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    linked = {name for name in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in name}
    assert [name for name in sorted(linked) if not ((ROOT / page).parent / name).exists()] == []


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.ipynb")]
    assert len(pages) > 15 and [p.name for p in pages if f"]({p.name})" not in index] == ["README.md"]


def test_the_tables_are_those_of_the_code() -> None:
    text = tables.PAGE.read_text(encoding="utf-8")
    assert tables.renewed(text) == text, "renew them: python -m tests.docs.tables"
    assert text.count("\n| `") > 30
