"""The commands about mixes, as other programs call them."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from tests.command_line import curate

SWEEP = "name: s${n}\nsweep: {n: [2, 4]}\nparts:\n  a:\n    where: kind = 'harmful'\n    take: ${n}\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus of the bundled samples, a sweep and a mix."""
    folder = tmp_path_factory.mktemp("place")
    samples = Path(str(files("curation") / "samples"))
    for name in ("traces.jsonl", "labels.jsonl"):
        assert curate("ingest", str(samples / name), cwd=folder).returncode == 0
    (folder / "s.yaml").write_text(SWEEP)
    (folder / "r.yaml").write_text(SWEEP.replace("sweep: {n: [2, 4]}\n", "").replace("${n}", "9"))
    assert curate("build-mix", "r.yaml", "--out", "mix", "--lock", "r.lock", cwd=folder).returncode == 0
    return folder


def test_a_sweep_is_built_and_told_as_a_list(place: Path) -> None:
    done = curate("build-mix", "s.yaml", "--out", "sweep", "--json", cwd=place)
    assert [one["summary"]["rows"] for one in json.loads(done.stdout)] == [2, 4]
    assert "build-mix s2: 226 rows, 2 kept" in done.stderr
    assert (place / "sweep" / "s4" / "manifest.json").is_file()
    assert curate("build-mix", "s.yaml", "--out", "x", "--lock", "s.lock", cwd=place).returncode == 2


def test_a_lock_is_written_and_kept(place: Path) -> None:
    assert curate("build-mix", "r.yaml", "--out", "again", "--lock", "r.lock", cwd=place).returncode == 0
    assert (place / "again" / "manifest.json").read_bytes() == (place / "mix" / "manifest.json").read_bytes()


def test_validate_and_plan(place: Path) -> None:
    assert "s.yaml: 2 valid" in curate("validate", "s.yaml", cwd=place).stderr
    assert (
        "SQL and columns were not checked"
        in curate("validate", "s.yaml", "--corpus", "nowhere", cwd=place).stderr
    )
    plans = json.loads(curate("plan", "s.yaml", "--json", cwd=place).stdout)
    assert [plan["rows"] for plan in plans] == [2, 4]
    short = curate("plan", "study-improved", "--sql", cwd=place)
    assert short.returncode == 1
    assert "order by draw" in short.stdout
    assert "build-mix would fail" in short.stderr and 'part "safety": take 1000 but only' in short.stderr


def test_recipes_and_schema(place: Path) -> None:
    listed = curate("recipes", cwd=place).stdout
    assert "study (all of these)" in listed and "study-nocot-math400" in listed
    assert "sweep" in json.loads(curate("schema", cwd=place).stdout)["properties"]


def test_diff_why_report_and_export(place: Path) -> None:
    curate("build-mix", "s.yaml", "--out", "sweep", cwd=place)
    found = json.loads(curate("diff", "sweep/s4", "mix", "--json", cwd=place).stdout)
    assert found["causes"]["added"] == {"recipe": 5}
    assert "added: 5 by recipe" in curate("diff", "sweep/s4", "mix", cwd=place).stdout
    (row, *_) = json.loads(curate("why", found["added"][0], "--mix", "mix", "--json", cwd=place).stdout)[
        "traces"
    ]
    assert row["clauses"] == {"a": {"where": "kind = 'harmful'", "take": 9}}
    assert (
        "part a: where: kind = 'harmful'; take: 9"
        in curate("why", found["added"][0], "--mix", "mix", cwd=place).stdout
    )
    assert curate("report", "mix", "--out", "report.html", cwd=place).stdout.strip() == "report.html"
    assert (
        curate("export", "mix", "--format", "alpaca", "--out", "a.jsonl", cwd=place).stderr
        == "export: 9 rows of train written to a.jsonl\n"
    )
    assert (
        curate("export", "mix", "--format", "hf", "--redact", "ids", "--out", "ids", cwd=place).stdout
        == "ids\n"
    )


def test_each_split_can_be_exported(place: Path) -> None:
    (place / "v.yaml").write_text(
        "name: v\nvalidation: 0.5\nparts: {a: {where: kind = 'harmful', take: 40}}\n"
    )
    assert curate("build-mix", "v.yaml", "--out", "v", cwd=place).returncode == 0
    train = curate("export", "v", "--out", "train.jsonl", cwd=place)
    assert "--split validation" in train.stderr
    held_out = curate("export", "v", "--split", "validation", "--out", "held-out.jsonl", cwd=place)
    assert "rows of validation written to held-out.jsonl" in held_out.stderr
    ids = [
        {json.loads(line)["row_id"] for line in (place / name).read_text().splitlines()}
        for name in ("train.jsonl", "held-out.jsonl")
    ]
    assert len(ids[0]) + len(ids[1]) == 40 and ids[1] and not ids[0] & ids[1]
    none = curate("export", "mix", "--split", "validation", "--out", "x.jsonl", cwd=place)
    assert none.returncode == 2 and "no validation split" in none.stderr


def test_a_folder_is_not_written_to_a_name_of_a_file_or_over_another(place: Path) -> None:
    named_file = curate("export", "mix", "--format", "hf", "--out", "x.jsonl", cwd=place)
    assert named_file.returncode == 2 and "--out x" in named_file.stderr and not (place / "x.jsonl").exists()
    assert curate("export", "mix", "--format", "hf", "--out", "folder", cwd=place).returncode == 0
    again = curate("export", "mix", "--format", "hf", "--out", "folder", cwd=place)
    assert again.returncode == 1 and "folder: already there; name a new folder" in again.stderr
    over = curate("export", "mix", "--out", "folder", cwd=place)
    assert over.returncode == 1 and "a folder of this name is in the way" in over.stderr


def test_push_asks_and_a_no_sends_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = curate("push", "mix", "me/x", "--redact", "masked", cwd=place, answer="n\n")
    assert done.returncode == 1 and done.stdout.strip() == ""
    assert "Publish 9 rows to the private dataset me/x" in done.stderr and "nothing was sent" in done.stderr
    offline = curate("push", "mix", "me/x", "--yes", "--public", cwd=place)
    assert offline.returncode == 1 and "PUBLIC" in offline.stderr
    assert (
        "me/x: the hub rejected the upload or cannot be reached" in offline.stderr
        and "Traceback" not in offline.stderr
    )
