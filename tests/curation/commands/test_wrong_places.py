"""What newcomers name that is something else: a mix for a corpus, the folder above, a file of nearly this name."""

import shlex
from pathlib import Path

import httpx
import pytest

from curation.corpus.store import Store
from curation.ingest.containers import hub
from curation.project import start
from schemas.errors import DataError
from tests.command_line import curate


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a corpus, a mix and a run, by their markers, in a folder with a space and an umlaut."""
    folder = tmp_path / "mein Projekt ä"
    start.make(folder)
    Store.create(folder / "corpus")
    for name in ("mixes/first-mix/manifest.json", "runs/one/run.json"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("{}")
    (folder / "latin.csv").write_bytes(b"prompt,response\nWhy?,<think>Hm.</think>J\xe4.\n")
    (folder / "sft.yaml").write_text("model: m\nmix: mixes/first-mix\nout: runs/one\nseed: 1\n")
    (folder / "table.xlsx").write_bytes(b"PK\x03\x04")
    (folder / "plain.jsonl").write_text('{"prompt": "Why?", "response": "So."}\n')
    return folder


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "status --corpus mixes/first-mix",
            "mixes/first-mix: a mix, not a corpus; name the corpus's folder with --corpus",
        ),
        ("status --corpus runs/one", "runs/one: a run of `sft run`, not a corpus"),
        (
            "report corpus --out r.html",
            "corpus: a corpus, not a mix; build one with: curate build-mix RECIPE --corpus corpus --out mixes/NAME",
        ),
        (
            "export mixes/firstmix --format messages --out t.jsonl",
            "mixes/firstmix: no such folder; did you mean 'first-mix'?",
        ),
        ("ingest mixes/first-mix", "mixes/first-mix: a mix, not a file to ingest"),
        ("ingest runs", "runs: a folder without files that are read here"),
        ("ingest data", "name the files in it, such as data/*.jsonl"),
        (
            "run pipelin.yaml",
            "pipelin.yaml: cannot be read (No such file or directory); check the path; did you mean 'pipeline.yaml'?",
        ),
        ("validate first-mix.yaml", "did you mean 'recipes/first-mix.yaml'?"),
        (
            "run recipes/first-mix.yaml",
            "the recipe of a mix; for it: curate build-mix --out mixes/NAME recipes/first-mix.yaml",
        ),
        ("build-mix pipeline.yaml --out x", "pipeline.yaml: a pipeline; for it: curate run pipeline.yaml"),
        ("build-mix sft.yaml --out x", "sft.yaml: a config of sft run; for it: sft run sft.yaml"),
        ("status corpus", "a corpus is named with --corpus corpus"),
        ("ingest data/samples.jsonl --map question=prompt", "the field comes first: --map prompt=question"),
        ("ingest data/samples.jsonl --set-field strategi=x", "did you mean 'strategy'?"),
        ("ingest x.jsonl --set xstest --kind harmful", "error: --set implies format and kind"),
        (
            "ingest data/sample.jsonl",
            "no such file; check the path (data sets on the hub are named hf:NAME); did you mean 'samples.jsonl'?",
        ),
        ("ingest latin.csv", "latin.csv: not UTF-8 text"),
        ("ingest table.xlsx", "table.xlsx: a spreadsheet; save it as CSV (UTF-8)"),
        ("ingest plain.jsonl --corpus other", "nothing was kept: a trace needs its reasoning"),
        ("sql 'select count(*) from traces where kind = benign'", "text stands in single quotes: 'benign'"),
        ("sql 'select count(*) from traces where strategy = modl'", "did you mean 'model'?"),
        (
            "sample",
            "target: this field is required name a recipe file that says it, or set the options (--help)",
        ),
    ],
)
def test_what_was_named_is_told_with_what_was_meant(project: Path, command: str, said: str) -> None:
    done = curate(*shlex.split(command), cwd=project)
    told = " ".join(done.stderr.replace("│", " ").split())
    assert said in told and done.returncode in ((0,) if "plain" in command else (1, 2))


def test_a_corpus_one_folder_up_or_down_is_found(project: Path) -> None:
    below = curate("status", cwd=project.parent)
    assert (
        "there is one in mein Projekt ä: cd 'mein Projekt ä', or --corpus 'mein Projekt ä/corpus'"
        in " ".join(below.stderr.split())
    )
    assert "there is one in ..: cd .., or --corpus ../corpus" in curate("status", cwd=project / "data").stderr


def test_commands_that_are_printed_can_be_typed(tmp_path: Path) -> None:
    assert "next: cd 'ein Ordner' && curate run" in curate("init", "ein Ordner", cwd=tmp_path).stderr
    (tmp_path / "a b.jsonl").write_text('{"prompt": "Why?", "response": "<think>Hm.</think>So."}\n')
    said = " ".join(curate("ingest", "a b.jsonl", cwd=tmp_path).stderr.split())
    assert "curate ingest 'a b.jsonl' --kind KIND --amend" in said


def test_a_hub_that_does_not_answer_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    datasets = pytest.importorskip("datasets")
    from huggingface_hub import constants

    asked: list[str] = []

    def silent(address: str, **unused: object) -> None:
        asked.append(address)
        raise httpx.ConnectError("no network")

    monkeypatch.setattr(httpx, "head", silent)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    for _ in range(2):
        with pytest.raises(DataError, match="name the local path"):
            hub.hub_sources("nobody/nothing")
    assert len(asked) == 1 and "the hub does not answer" in capsys.readouterr().err
