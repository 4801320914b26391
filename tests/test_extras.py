"""Every command in an environment that has the package and no extra: it works, or prints the line that installs what it wants.

The environment is a folder of links to what the wheel requires, and Python starts without its own packages (`-I -S`): as bare as a
new virtual environment, without the minute that making one takes. The commands come from the command lines themselves.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from packaging.requirements import Requirement

from annotators import catalog
from curation.cli import app as curate_app
from schemas import errors
from schemas.choices import DedupMethod, OverlapMethod
from schemas.errors import MissingExtraError
from sft.cli import app as sft_app
from tests.command_line import curate

ROOT = Path(__file__).resolve().parents[1]
RECIPE = "name: small\nparts: {all: {where: 'true', take: 4}}\n"
SHORT = ["--where", "kind = 'harmful'"]

BASE: dict[str, list[str]] = {
    "curate init": ["project"],
    "curate run": ["pipeline.yaml"],
    "curate ingest": ["samples.jsonl"],
    "curate sql": ["select 1"],
    "curate validate": ["small.yaml"],
    "curate plan": ["small.yaml"],
    "curate build-mix": ["small.yaml", "--out", "mix-2"],
    "curate why": ["nothing"],
    "curate diff": ["mix", "mix"],
    "curate report": ["--out", "page.html"],
    "curate export": ["mix", "--out", "mix.jsonl"],
    "curate push": ["mix", "me/mix", "--yes"],
    "curate train-annotator": ["--out", "annotator"],
    "curate train-classifier": ["--out", "classifier", "--teacher", "kind"],
    "curate decide": ["--out", "decisions.jsonl"],
    "curate decontaminate": ["--against", "own=samples.jsonl:prompt"],
    "curate generate": ["--model", "model"],
    "curate sample": ["--model", "model", "--target", "1"],
    "curate repair": ["--model", "model"],
    "curate review export": ["round.jsonl"],
    "curate review import": ["samples.jsonl"],
    "curate review push": ["--url", "http://127.0.0.1:9", "--api-key", "key"],
    "curate review pull": ["--url", "http://127.0.0.1:9", "--api-key", "key"],
    "sft check": ["--mix", "mix", "--model", "model"],
    "sft run": ["run.yaml"],
    "sft plan": ["run.yaml"],
    "sft inspect": ["run"],
    "sft probe": ["run"],
    "sft export": ["run", "--out", "exported"],
    "sft score": ["model", "--out", "scores"],
    "sft compare": ["run"],
    "sft sweep": ["run.yaml"],
    "sft demo": ["--out", "demo"],
}
"""What a command cannot do without, beside a corpus; a command that is not here gets nothing."""
MORE: dict[str, list[list[str]]] = {
    "curate annotate": [["--annotators", name] for name in ("cascade", "judge", "guard:llama-guard.answer")],
    "curate dedup": [["--methods", name] for name in get_args(DedupMethod)]
    + [["--ray-workers", "2", "--threshold", "0.6"]],
    "curate decontaminate": [["--methods", name] for name in get_args(OverlapMethod)],
    "curate train-annotator": [["--labels", "rules"]],
    "sft score": [["--export", "inspect"], ["--annotators", "ensemble"]],
    "sft run": [["run-lora.yaml"], ["run-qlora.yaml"], ["run-wandb.yaml"]],
}
"""Options of which one value wants what another does not, where the values are no closed set of the command line."""
ELSEWHERE = {"curate review serve", "curate review server start"}
"""Install a server of their own, which is what they are for."""


def leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if not inner:
        yield path, command
        return
    for name, one in inner.items():
        yield from leaves(one, f"{path} {name}")


def commands() -> dict[str, Any]:
    programs = {"curate": curate_app, "sft": sft_app}
    return {
        path: command
        for name, app in programs.items()
        for path, command in leaves(typer.main.get_command(app), name)
    }


def choices(command: Any) -> Iterator[list[str]]:
    """Each value of each option that has a closed set of them, and the engines and annotators."""
    for parameter in command.params:
        option = parameter.opts[0]
        if option.startswith("--"):
            for value in get_args(parameter.type_descriptor.annotation):
                if isinstance(value, str):
                    yield [option, value]
        if option == "--annotators":
            for name in catalog.FACTORIES:
                yield [option, name]


def variants(path: str, command: Any) -> Iterator[list[str]]:
    plain = [*path.split(), *BASE.get(path, [])]
    yield plain
    for more in [*choices(command), *MORE.get(path, [])]:
        if not more[0].startswith("--"):
            yield [*path.split(), *more]
        else:
            yield [*plain, *more]


def required(name: str, seen: dict[str, Distribution]) -> dict[str, Distribution]:
    """The installed packages that a package requires without extras, and theirs."""
    for line in distribution(name).requires or []:
        requirement = Requirement(line)
        if requirement.marker and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
        ):
            continue
        if requirement.name.lower() not in seen:
            try:
                seen[requirement.name.lower()] = distribution(requirement.name)
            except PackageNotFoundError:
                continue
            required(requirement.name, seen)
    return seen


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with this package and what its wheel requires, and nothing else that is installed here."""
    folder = tmp_path_factory.mktemp("bare")
    for package in errors.OWN:
        (folder / package).symlink_to(ROOT / package)
    for found in required("lrm-curate", {}).values():
        for top in {
            file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")
        }:
            source, link = Path(str(found.locate_file(top))), folder / top
            if source.exists() and not link.exists():
                link.symlink_to(source)
    return folder


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small corpus, a mix, a model's folder without weights and recipes of training."""
    folder = tmp_path_factory.mktemp("workspace")
    rows = (ROOT / "curation/samples/traces.jsonl").read_text(encoding="utf-8").splitlines()[:20]
    (folder / "samples.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "small.yaml").write_text(RECIPE, encoding="utf-8")
    (folder / "pipeline.yaml").write_text("ingest: [{files: [samples.jsonl]}]\ndedup:\n", encoding="utf-8")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text('{"model_type": "qwen2"}', encoding="utf-8")
    (folder / "run").mkdir()
    for name in ("run", "run-lora", "run-qlora", "run-wandb"):
        method = name.removeprefix("run-") if name in ("run-lora", "run-qlora") else "full"
        report_to = "wandb" if name == "run-wandb" else "none"
        text = f"model: model\nmix: mix\nout: out-{name}\nmethod: {method}\nreport_to: {report_to}\n"
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    for words in (["ingest", "samples.jsonl"], ["annotate"], ["build-mix", "small.yaml", "--out", "mix"]):
        assert curate(*words, cwd=folder).returncode == 0
    return folder


@pytest.fixture(scope="module")
def endings(bare: Path, workspace: Path) -> list[dict[str, Any]]:
    wanted = [
        words
        for path, command in commands().items()
        if path not in ELSEWHERE
        for words in variants(path, command)
    ]
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(ROOT / "tests/fresh_environment.py"), str(bare)],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        cwd=workspace,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HOME": str(workspace)},
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout))


@pytest.mark.slow
def test_no_command_option_or_engine_ends_in_a_traceback_without_extras(
    endings: list[dict[str, Any]],
) -> None:
    ended = {" ".join(one["words"]): one["traceback"] for one in endings if one["traceback"]}
    assert not ended
    assert len(endings) > len(commands())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("curate annotate --annotators embedding", "models"),
        ("curate annotate --annotators ensemble", "models"),
        ("curate dedup --methods semantic", "models"),
        ("curate dedup --ray-workers 2 --threshold 0.6", "ray"),
        ("curate annotate --engine ray", "ray"),
        ("curate decontaminate --against own=samples.jsonl:prompt --methods semantic", "models"),
        ("curate generate --model model", "train"),
        ("curate generate --model model --engine vllm", "vllm"),
        ("curate train-classifier --out classifier --teacher kind", "models"),
        ("curate train-annotator --out annotator", "models"),
        ("curate review push --url http://127.0.0.1:9 --api-key key", "review"),
        ("sft check --mix mix --model model", "train"),
        ("sft plan run.yaml", "train"),
        ("sft run run.yaml", "train"),
        ("sft run run-qlora.yaml", "qlora"),
        ("sft run run-wandb.yaml", "train"),
        ("sft score model --out scores", "train"),
        ("sft score model --out scores --engine vllm", "vllm"),
        ("sft score model --out scores --export inspect", "inspect"),
        ("sft demo --out demo", "train"),
    ],
)
def test_a_command_that_wants_an_extra_names_the_line_that_installs_it(
    endings: list[dict[str, Any]], command: str, extra: str
) -> None:
    one, *_ = [one for one in endings if " ".join(one["words"]) == command]
    assert one["code"] == 1
    assert re.search(rf"^error: .*pip install 'lrm-curate\[{extra}\]'$", one["said"], re.MULTILINE), one


def test_every_optional_module_stands_in_the_extra_that_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = {
        extra: {Requirement(line).name for line in lines}
        for extra, lines in project["optional-dependencies"].items()
    }
    # through sentence-transformers, or through transformers
    brought = {("models", "torch"), ("models", "transformers"), ("train", "safetensors")}
    for module, names in errors.EXTRAS.items():
        package = errors.NAMES.get(module, module.replace("_", "-"))
        for extra in names:
            assert package in listed[extra] or (extra, package) in brought


def test_an_import_of_our_own_that_fails_is_a_bug_and_not_explained() -> None:
    assert (
        errors.explained(ModuleNotFoundError("No module named 'curation.nothing'", name="curation.nothing"))
        is None
    )
    assert errors.explained(ValueError("no import")) is None


def test_a_library_of_the_wrong_version_is_told_to_be_updated() -> None:
    error = ImportError("cannot import name 'nothing' from 'torch'", name="torch")
    assert "does not fit" in str(errors.explained(error))
    assert "pip install -U 'lrm-curate[train]'" in str(errors.explained(error))


def test_a_missing_module_that_no_extra_brings_is_named() -> None:
    error = errors.explained(ModuleNotFoundError("No module named 'oddity'", name="oddity.inner"))
    assert "'oddity'" in str(error)
    assert not isinstance(error, MissingExtraError)
