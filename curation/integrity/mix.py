"""Checks a mix: its manifest, the hash of every file, its rows, and that the numbers in the manifest are theirs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from curation.integrity.corpus import fault_of_manifest
from curation.integrity.damage import Checked, Damage
from curation.mix import folder
from curation.mix.folder import SHARD, VALIDATION_SHARD
from curation.reading import hash_files
from schemas.errors import CurateError
from schemas.manifest import Manifest

AGAIN = "build the mix again with: curate build-mix RECIPE --out {mix}"
EXTRA = {"manifest.json", "README.md"}


def examine(mix: Path) -> Checked:
    """Read a whole mix."""
    found = Checked(str(mix), "mix", 0, {}, [], {})
    fix = AGAIN.format(mix=mix)
    if what := fault_of_manifest(mix / "manifest.json"):
        found.damage.append(Damage("manifest.json", "manifest", what, fix))
        return found
    try:
        manifest = folder.read_manifest(mix)
    except CurateError as error:
        what = str(error).removeprefix(f"{mix / 'manifest.json'}: ").partition(";")[0]
        found.damage.append(Damage("manifest.json", "manifest", what, fix))
        return found
    files = [path for path in sorted(mix.rglob("*")) if path.is_file() or path.is_symlink()]
    found.damage.extend(_files(mix, manifest, files, fix))
    if not any(damage.file.startswith("data/") for damage in found.damage):
        found.damage.extend(_rows(mix, manifest, found.rows, fix))
    return found._replace(files=len(files))


def _files(mix: Path, manifest: Manifest, files: list[Path], fix: str) -> Iterator[Damage]:
    names = {path.relative_to(mix).as_posix() for path in files}
    for name, known in manifest.outputs.items():
        if name not in names or not (mix / name).is_file():
            yield Damage(name, "mix", "missing", fix)
        elif hash_files([mix / name]) != known:
            yield Damage(name, "mix", "changed since it was built (its hash is another)", fix)
    for name in sorted(names - manifest.outputs.keys() - EXTRA):
        yield Damage(
            name, "foreign", "not a file of this mix", "move it out of the folder; trainers may read it"
        )


def _rows(mix: Path, manifest: Manifest, counted: dict[str, int], fix: str) -> Iterator[Damage]:
    try:
        splits = folder.read_splits(mix)
    except CurateError as error:
        yield Damage("data", "mix", str(error).partition(";")[0].removeprefix(f"{mix}/data/"), fix)
        return
    counted |= {split: rows.num_rows for split, rows in splits.items()}
    summary: Any = manifest.summary
    said = {"rows": counted["train"], "validation_rows": counted.get("validation", 0)}
    for name, rows in said.items():
        if summary.get(name, 0) != rows:
            yield Damage(
                "manifest.json", "manifest", f"{name} is {summary.get(name, 0)}, but there are {rows}", fix
            )
    if summary.get("mix_id") != folder.mix_id(splits["train"]):
        yield Damage(f"data/{SHARD}", "mix", "the rows are not those of the mix_id in the manifest", fix)
    ids = splits["train"]["row_id"].to_pylist()
    if len(set(ids)) < len(ids):
        yield Damage(
            f"data/{SHARD}", "duplicate", f"{len(ids) - len(set(ids))} rows have the id of another", fix
        )
    for form in ("messages", "prompt_completion"):
        for split, shard in {"train": SHARD, "validation": VALIDATION_SHARD}.items():
            path = mix / form / shard
            if split in counted and path.is_file() and pq.read_metadata(path).num_rows != counted[split]:
                yield Damage(f"{form}/{shard}", "mix", f"other rows than data/{shard}", fix)
