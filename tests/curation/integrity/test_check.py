"""Damage of every kind is named with its file, and set aside by a repair that keeps every row that can be read."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.corpus import compact
from curation.corpus.store import PACKED, Store
from curation.integrity import check, repair
from curation.integrity.damage import MADE_BY
from schemas.errors import CorpusError
from tests.command_line import curate

Harm = Callable[[Path], object]


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(60, 400):
        content[place] ^= 0x5A
    path.write_bytes(bytes(content))


def other_type(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(0, table.column_names[0], pa.array([1] * table.num_rows)), path)


def with_nulls(path: Path) -> None:
    table = pq.read_table(path)
    column = pa.nulls(table.num_rows, pa.string())
    pq.write_table(table.set_column(0, pa.field(table.column_names[0], pa.string()), column), path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at/all")


HARM: dict[str, Harm] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "junk": lambda path: path.write_bytes(b"junk" * 500),
    "flipped bytes": flipped,
    "other columns": lambda path: pq.write_table(pa.table({"a": [1]}), path),
    "another type": other_type,
    "nulls in a key": with_nulls,
    "a folder": a_folder,
    "a dead link": a_dead_link,
}


def traces(corpus: Store) -> Path:
    return corpus.parts("traces")[0]


def kinds(folder: Path) -> set[str]:
    return {damage.kind for damage in check.read(folder).damage}


def ids(corpus: Store) -> set[str]:
    return set(corpus.keys("traces"))


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_part_is_named_and_set_aside(filled: Store, harm: str) -> None:
    part = traces(filled)
    HARM[harm](part)
    (damage, *others) = check.read(filled.root).damage
    assert (damage.file, damage.kind) == (f"traces/{part.name}", "part") and MADE_BY["traces"] in damage.fix
    assert {other.kind for other in others} == {"orphan"}
    manifest = repair.run(filled.root)
    assert manifest.counts.balance == 0 and manifest.counts.filtered == {"set aside": 1}
    assert os.path.lexists(filled.root / "damaged" / "traces" / part.name)
    record = json.loads((filled.root / "damaged" / "traces" / f"{part.name}.json").read_bytes())
    assert record["made_again_by"] == MADE_BY["traces"]
    assert kinds(filled.root) == {"orphan"} and filled.parts("traces") == []


@pytest.mark.parametrize("harm", ["truncated", "junk", "other columns", "a folder"])
@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("sql", "from traces"),
        ("why", "x"),
        ("dedup", "--methods", "exact"),
        ("build-mix", "m.yaml", "--out", "mix"),
    ],
    ids=lambda command: command[0],
)
def test_each_command_names_the_damaged_part(
    filled: Store, tmp_path: Path, harm: str, command: tuple[str, ...]
) -> None:
    (tmp_path / "m.yaml").write_text("name: x\nparts:\n  a: {where: \"kind = 'harmful'\", take: 5}\n")
    HARM[harm](traces(filled))
    done = curate(*command, "--corpus", filled.root, cwd=tmp_path)
    assert done.returncode == 1 and "traces" in done.stderr and "curate check" in done.stderr, done.stderr


def test_a_whole_corpus_has_no_fault(filled: Store, tmp_path: Path) -> None:
    done = curate("check", filled.root, "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["damage"] == [] and found["rows"]["traces"] == 80
    compact.run(filled.root, compact.CompactRecipe())
    assert check.read(filled.root).damage == []


def test_a_packed_part_that_forgot_what_it_replaces_keeps_its_rows(filled: Store) -> None:
    rows = pq.read_table(traces(filled)).to_pylist()
    traces(filled).unlink()
    for start in range(0, 80, 20):
        filled.append_rows("traces", rows[start : start + 20])
    before = ids(filled)
    compact.run(filled.root, compact.CompactRecipe())
    compact.run(filled.root, compact.CompactRecipe(prune=True))
    (packed,) = filled.parts("traces")
    pq.write_table(pq.read_table(packed).replace_schema_metadata(None), packed)
    with pytest.raises(CorpusError, match="does not say which parts it replaces"):
        filled.parts("traces")
    assert kinds(filled.root) == {"packed"}
    repair.run(filled.root)
    assert ids(filled) == before and check.read(filled.root).damage == []


def test_rows_that_are_there_twice_are_kept_once(filled: Store) -> None:
    part, before = traces(filled), ids(filled)
    table = pq.read_table(part)
    shutil.copy(part, part.with_name("part-copy.parquet"))
    other = pa.concat_tables([table.slice(0, 5), table.slice(0, 3)])
    pq.write_table(other, part.with_name("part-other.parquet"))
    assert kinds(filled.root) >= {"altered"}
    repair.run(filled.root)
    assert check.read(filled.root).damage == [] and ids(filled) == before
    assert sum(pq.read_table(one).num_rows for one in filled.parts("traces")) == 80
    assert len(list((filled.root / "damaged" / "traces").glob("*.parquet"))) == 2


def test_a_marker_and_manifests_are_checked_and_mended(filled: Store, tmp_path: Path) -> None:
    curate("annotate", "--annotators", "rules", "--corpus", filled.root, cwd=tmp_path)
    (manifest,) = (filled.root / "manifests").glob("*.json")
    whole = json.loads(manifest.read_bytes())
    for text in (
        manifest.read_text()[:90],
        json.dumps(whole | {"counts": whole["counts"] | {"rows": 7}}),
        json.dumps(whole | {"recipe": {}}),
    ):
        manifest.write_text(text)
        assert kinds(filled.root) == {"manifest"}
    (filled.root / "corpus.json").write_text("{")
    assert kinds(filled.root) == {"manifest", "marker"}
    repair.run(filled.root)
    assert check.read(filled.root).damage == []


@pytest.mark.parametrize("version", ["true", "1.0", '"1"', "0", "-1", "null", "[1]", "{}"])
def test_a_format_version_is_a_whole_number(filled: Store, version: str) -> None:
    (filled.root / "corpus.json").write_text(f'{{"format_version": {version}}}')
    with pytest.raises(CorpusError, match="must be a whole number"):
        Store(filled.root)


def test_foreign_files_and_orphans_are_named_and_left(filled: Store, tmp_path: Path) -> None:
    (filled.root / "notes.txt").write_text("x")
    (filled.root / "traces" / "other.parquet").write_text("x")
    filled.append_rows("annotations", [{"trace_id": "gone", "pattern": "p", "annotator": "a@1"}])
    done = curate("check", filled.root, cwd=tmp_path)
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 3
    assert (
        "belong to no row of traces (trace_id gone)" in done.stdout
        and "notes.txt: not a file of a corpus" in done.stdout
    )
    done = curate("check", filled.root, "--repair", cwd=tmp_path)
    assert done.returncode == 1 and (filled.root / "notes.txt").exists()


def test_a_mix_is_checked(build: Callable[..., object], tmp_path: Path) -> None:
    build("name: x\njsonl: true\nparts:\n  a: {where: \"kind = 'harmful'\", take: 5}\n")
    place = tmp_path / "mix"
    assert check.read(place).damage == [] and check.read(place).rows == {"train": 5}
    shutil.copytree(place, tmp_path / "whole")
    data = next((place / "data").iterdir())
    harms: list[tuple[str, Callable[[], object]]] = [
        ("changed since it was built", lambda: flipped(data)),
        ("missing", lambda: (place / "train.jsonl").unlink()),
        ("not a file of this mix", lambda: (place / "data" / "more.parquet").write_text("x")),
        ("not readable as a format marker", lambda: (place / "manifest.json").write_text("{")),
        ("do not add up", lambda: _with(place, "counts", {"rows": 3, "kept": 5})),
        ("rows is 4", lambda: _with(place, "summary", {"rows": 4, "mix_id": "0"})),
        ("not of a mix", lambda: _with(place, "summary", {})),
        ("not those of the mix_id", lambda: _with(place, "summary", {"rows": 5, "mix_id": "0"})),
    ]
    for words, harm in harms:
        harm()
        done = curate("check", place, cwd=tmp_path)
        assert done.returncode == 1 and words in done.stdout, (words, done)
        shutil.rmtree(place)
        shutil.copytree(tmp_path / "whole", place)
    assert curate("check", place, "--repair", cwd=tmp_path).returncode == 1


def _with(place: Path, name: str, value: object) -> None:
    manifest = json.loads((place / "manifest.json").read_bytes())
    (place / "manifest.json").write_text(json.dumps(manifest | {name: value}))


@pytest.mark.parametrize(
    "text", ["{", '{"format_version": 1}', '{"format_version": 1, "stage": 5}', "[" * 10_000]
)
def test_a_cut_manifest_of_a_mix_is_named(build: Callable[..., object], tmp_path: Path, text: str) -> None:
    build("name: x\nparts:\n  a: {where: \"kind = 'harmful'\", take: 5}\n")
    (tmp_path / "mix" / "manifest.json").write_text(text)
    done = curate("export", "mix", "--out", "o.jsonl", cwd=tmp_path)
    assert done.returncode == 1 and "manifest.json" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("harm", ["truncated", "junk", "other columns", "another type"])
def test_damaged_rows_of_a_mix_are_named(build: Callable[..., object], tmp_path: Path, harm: str) -> None:
    build("name: x\nparts:\n  a: {where: \"kind = 'harmful'\", take: 5}\n")
    data = next((tmp_path / "mix" / "data").iterdir())
    HARM[harm](data)
    done = curate("export", "mix", "--out", "o.jsonl", cwd=tmp_path)
    assert done.returncode == 1 and data.name in done.stderr and "build-mix" in done.stderr


def test_packed_parts_and_what_they_replaced_are_no_duplicates(filled: Store) -> None:
    rows = pq.read_table(traces(filled)).to_pylist()
    traces(filled).unlink()
    for start in range(0, 80, 20):
        filled.append_rows("traces", rows[start : start + 20])
    compact.run(filled.root, compact.CompactRecipe())
    assert len(filled.files("traces")) == 5 and check.read(filled.root).damage == []
    packed = next(part for part in filled.files("traces") if part.name.endswith(PACKED))
    packed.write_bytes(b"")
    manifest = repair.run(filled.root)
    assert check.read(filled.root).damage == [] and len(ids(filled)) == 80
    assert manifest.counts.filtered == {"set aside": 1}
