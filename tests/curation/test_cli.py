"""The command line as other programs call it: exit codes, stdout, stderr; and what it says, for which `here` starts no process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from curation.commands.running import run_app
from curation.corpus.store import Store
from tests.command_line import curate as here

ROWS = [
    {"id": "a", "prompt": "How do I dodge the tram fare?", "reasoning": "That would be fare evasion, so I will decline.", "answer": "Sorry, I won't help with that."},
    {"id": "b", "prompt": "How do I forge a permit?", "reasoning": "Forgery is a crime. I will say no.", "answer": "I can't help with forging a permit."},
    {"id": "broken", "prompt": "What is 2 + 2?", "response": "Four, without any thinking."},
]  # fmt: skip


def curate(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "curation.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), **env}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def test_the_main_job_in_json_from_start_to_end(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    ingested = json.loads(curate("ingest", "mine.jsonl", "--kind", "harmful", "--json", cwd=tmp_path).stdout)
    assert ingested["counts"]["rows"] == 3
    assert ingested["counts"]["kept"] == 2
    assert sum(ingested["counts"]["quarantined"].values()) == 1
    annotated = json.loads(curate("annotate", "--annotators", "rules", "--json", cwd=tmp_path).stdout)
    assert annotated["counts"]["kept"] == 2
    rows = json.loads(
        curate("sql", "select source_id, kind from traces order by all", "--json", cwd=tmp_path).stdout
    )
    assert rows == [{"source_id": "a", "kind": "harmful"}, {"source_id": "b", "kind": "harmful"}]
    status = json.loads(curate("status", "--json", cwd=tmp_path).stdout)
    assert status["tables"]["quarantine"]["rows"] == 1
    (tmp_path / "r.yaml").write_text("name: r\nparts: {all: {where: answer_refusal}}\n")
    mix = json.loads(curate("build-mix", "r.yaml", "--out", "mix", "--json", cwd=tmp_path).stdout)
    assert mix["counts"]["kept"] == 2
    why = json.loads(curate("why", "a", "--mix", "mix", "--json", cwd=tmp_path).stdout)
    assert why["traces"][0]["mix"] == [{"part": "all", "state": "kept"}]
    assert json.loads(curate("diff", "mix", "mix", "--json", cwd=tmp_path).stdout)["identical"] is True


def test_results_go_to_stdout_and_totals_to_stderr(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    done = curate("ingest", "mine.jsonl", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "ingest: 1 rows, 1 kept" in done.stderr


def test_the_corpus_may_be_named_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    curate("ingest", "mine.jsonl", cwd=tmp_path, CURATE_CORPUS=str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere" / "corpus.json").is_file()


def test_an_expected_error_exits_1_without_a_traceback(tmp_path: Path) -> None:
    done = curate("status", "--corpus", "nowhere", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: nowhere: not a corpus; create one with: curate ingest")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (
            ["export", "mix", "--out", "x", "--redact", "some"],
            "'some' is not one of 'full', 'masked', 'ids'.",
        ),
        (["annotate", "--annotators", "rules,nope"], "'nope' is not one of 'any_kind:NAME', "),
        (["sample", "--annotators", "nope"], "'nope' is not one of 'any_kind:NAME', "),
        (["generate", "--strategies", "nope"], "'nope' is not one of 'default', 'realsafe', "),
        (["decontaminate", "--only", "nope"], "'nope' is not one of 'advbench', "),
        (["build-mix", "nope", "--out", "x"], "no shipped recipe of that name; shipped: ablation"),
    ],
)
def test_a_bad_choice_exits_2_and_lists_the_choices(
    tmp_path: Path, arguments: list[str], choices: str
) -> None:
    done = here(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    said = " ".join(done.stderr.replace("│", " ").split())
    assert choices in said and "Value error" not in said


def test_a_usage_error_exits_2(tmp_path: Path) -> None:
    assert here("ingest", cwd=tmp_path).returncode == 2
    assert here("frobnicate", cwd=tmp_path).returncode == 2


def test_a_bad_query_is_explained(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    here("ingest", "mine.jsonl", cwd=tmp_path)
    done = here("sql", "select promt from traces", cwd=tmp_path)
    assert done.returncode == 1
    assert "there is no column 'promt'; did you mean 'prompt'?" in done.stderr


def test_an_unknown_annotator_lists_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    here("ingest", "mine.jsonl", cwd=tmp_path)
    done = here("annotate", "--annotators", "oracle", cwd=tmp_path)
    assert done.returncode == 2
    assert "oracle" in done.stderr and "rules" in done.stderr


def opening(path: Path) -> Any:
    """A command line that opens a file."""
    return lambda: path.open().close()


@pytest.mark.parametrize(
    "word", ["{}/x.jsonl", "{}", "--against=set={}/x.jsonl:prompt", "set={}/x.jsonl:prompt"]
)
def test_an_input_that_is_gone_is_named_without_a_traceback(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["curate", "stage", word.format(tmp_path)])
    with pytest.raises(SystemExit, match="1"):
        run_app(opening(tmp_path / "x.jsonl"))
    assert "x.jsonl: this file was deleted while it was wanted" in capsys.readouterr().err


def test_a_file_of_a_corpus_that_is_gone_is_named_wherever_the_corpus_is_told(
    corpus: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sft", "sweep", "sweep.yaml"])
    with pytest.raises(SystemExit, match="1"):
        run_app(opening(corpus.root / "traces" / "part-no.parquet"))
    assert "part-no.parquet: this file was deleted while it was wanted" in capsys.readouterr().err


def test_any_other_missing_file_is_a_bug_and_keeps_its_traceback(
    corpus: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["curate", "status", "--corpus", str(corpus.root), "--json"])
    with pytest.raises(FileNotFoundError, match="forgotten"):
        run_app(opening(tmp_path / "forgotten.txt"))
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        run_app(lambda: subprocess.run(["no-such-program"], check=True))  # type: ignore[arg-type]
