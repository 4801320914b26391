"""`curate init`: what a new project has, and that it overwrites nothing."""

from pathlib import Path

from curation.project import start
from tests.command_line import curate


def test_it_lists_what_it_wrote_and_the_next_command(tmp_path: Path) -> None:
    done = curate("init", "mine", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"mine/{name}" for name in start.CONTENT]
    assert "cd mine && curate run pipeline.yaml" in done.stderr


def test_a_file_that_is_there_stops_it_before_it_writes(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text("mine", encoding="utf-8")
    done = curate("init", ".", cwd=tmp_path)
    assert done.returncode == 1 and "already there: pipeline.yaml" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline.yaml"]


def test_the_files_name_no_command_that_there_is_not(tmp_path: Path) -> None:
    start.make(tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    words = {line.split()[1] for line in text.splitlines() if line.startswith("    curate ")}
    assert words == {"doctor", "run", "status", "plan", "report", "export"}
    assert all(curate(word, "--help", cwd=tmp_path).returncode == 0 for word in words)
