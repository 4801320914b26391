"""`curate run`: the stages of the commands, again only where something changed, and nothing outside of its folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks import crash
from curation.project import start
from tests.command_line import curate


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `curate init` makes it, after its first run."""
    folder = tmp_path_factory.mktemp("projects") / "mine"
    start.make(folder)
    assert curate("run", "pipeline.yaml", cwd=folder).returncode == 0
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "mine")


def run(project: Path) -> dict[str, Any]:
    """What a run did, by step."""
    done = curate("run", "pipeline.yaml", "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    return {step["step"]: step for step in json.loads(done.stdout)}


def refused(folder: Path, text: str) -> str:
    (folder / "pipeline.yaml").write_text(text, encoding="utf-8")
    done = curate("run", "pipeline.yaml", cwd=folder)
    assert done.returncode in (1, 2) and not (folder / "corpus").exists()
    return done.stderr


def test_a_new_project_runs_as_it_is_and_fills_every_part_of_its_mix(finished: Path) -> None:
    manifest = json.loads((finished / "mixes" / "first-mix" / "manifest.json").read_text(encoding="utf-8"))
    parts = manifest["summary"]["parts"]
    assert {name: part["kept"] for name, part in parts.items()}.keys() == {"safety", "benign", "math"}
    assert all(part["kept"] >= 20 for part in parts.values())


def test_a_second_run_ingests_and_builds_nothing(project: Path) -> None:
    shard = project / "mixes" / "first-mix" / "manifest.json"
    written = shard.stat().st_mtime_ns
    steps = run(project)
    assert [*steps] == ["ingest", "annotate", "dedup", "decontaminate", "build-mix"]
    assert (steps["ingest"]["fresh"], steps["build-mix"]["fresh"]) == (False, False)
    assert shard.stat().st_mtime_ns == written


def test_a_changed_recipe_builds_its_mix_and_ingests_nothing(project: Path) -> None:
    recipe = project / "recipes" / "first-mix.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("take: 20", "take: 10"), encoding="utf-8")
    steps = run(project)
    assert (steps["ingest"]["fresh"], steps["build-mix"]["fresh"]) == (False, True)
    assert steps["build-mix"]["manifest"]["summary"]["parts"]["safety"]["kept"] == 10


def test_a_changed_file_goes_through_every_step(project: Path) -> None:
    path = project / "data" / "samples.jsonl"
    row = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    row |= {"id": "new", "reasoning": "Something that no other trace says.", "strategy": "improved"}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    steps = run(project)
    assert steps["ingest"]["manifest"]["summary"]["new_rows"] == 1
    assert steps["annotate"]["manifest"]["counts"]["kept"] == 227
    assert steps["build-mix"]["fresh"]


@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_a_mix_that_is_gone_or_changed_is_built_again(project: Path, damage: str) -> None:
    mix = project / "mixes" / "first-mix"
    before = crash.content(project, ["mixes"])
    if damage == "removed":
        shutil.rmtree(mix)
    else:
        (mix / "README.md").write_text("mine", encoding="utf-8")
    assert run(project)["build-mix"]["fresh"]
    assert crash.content(project, ["mixes"]) == before


def test_the_result_is_that_of_the_commands_one_by_one(finished: Path, tmp_path: Path) -> None:
    start.make(tmp_path)
    for words in (
        "ingest data/samples.jsonl",
        "annotate --annotators rules",
        "dedup --methods exact,near",
        "decontaminate --against my-eval=data/eval.jsonl:prompt --methods ngram13",
        "build-mix recipes/first-mix.yaml --out mixes/first-mix",
    ):
        assert curate(*words.split(), cwd=tmp_path).returncode == 0
    wanted = ["corpus", "mixes"]
    assert crash.content(tmp_path, wanted) == crash.content(finished, wanted)
    of_commands = {path.name for path in (tmp_path / "corpus" / "manifests").iterdir()}
    assert of_commands <= {path.name for path in (finished / "corpus" / "manifests").iterdir()}


def test_names_that_lead_out_of_the_folder_are_all_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (tmp_path / "secret.jsonl").write_text('{"prompt": "a", "response": "b"}\n', encoding="utf-8")
    (folder / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    said = refused(
        folder,
        "corpus: ../corpus\n"
        "ingest:\n"
        "  - files: [../secret.jsonl]\n"
        "  - files: [link.jsonl]\n"
        "annotate: {annotators: [rules], guard_prompt: ../secret.jsonl}\n"
        "decontaminate: {registry: ../sets.yaml, against: ['own=../secret.jsonl:prompt']}\n"
        "mix: [{recipe: ../recipe.yaml, out: ../mix}]\n",
    )
    for line in (1, 3, 4, 5, 6, 7):
        assert f"pipeline.yaml:{line}: " in said, line
    assert said.count("is not beside") == 7


def test_every_fault_of_a_file_and_of_its_recipes_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: x\nparts: {a: {take: 5}}\n", encoding="utf-8")
    said = refused(
        tmp_path,
        "ingest: [{files: [absent.jsonl]}]\n"
        "annotate: {annotators: [rulez]}\n"
        "mix:\n"
        "  - {recipe: recipe.yaml, out: a}\n"
        "  - {recipe: absent.yaml, out: b}\n"
        "  - {recipe: studi-improved, out: c}\n",
    )
    for found in (
        "absent.jsonl: no such file",
        "rulez",
        "parts.a.where",
        "absent.yaml: no such file",
        "did you mean",
    ):
        assert found in said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("corpus: corpus\n", "names no step"),
        ("ingest: [{kind: harmful}]\n", "name files"),
        ("dedupe: {}\ningest: [{files: [a]}]\n", "did you mean 'dedup'"),
        ("dedup:\n", "is not a corpus; add an ingest step"),
        ("annotate:\n", "annotate"),
        ("mix: [{recipe: study-improved, out: a}, {recipe: study-improved, out: a/}]\n", "give each its own"),
    ],
)
def test_a_file_that_cannot_be_meant_so_says_what_is_missing(tmp_path: Path, text: str, told: str) -> None:
    assert told in refused(tmp_path, text)
