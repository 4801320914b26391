"""Lock files: rebuild the same mix later, or fail and say what changed.

The parts of a corpus never change, so the names of its parts are a snapshot: a locked build reads only those, however much the
corpus has grown. The mix can differ only if a part is missing (or the code, the tokenizer or the benchmark registry changed), and
then nothing is written.
"""

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from curation.codebook.structures import find_structure, is_structure, structure_file
from curation.corpus.store import Store, write_file
from curation.manifests import check_format_version
from curation.mix import folder
from curation.mix.build import build
from curation.mix.recipe import MixRecipe
from curation.mix.summary import Snapshot, snapshot
from curation.reading import hash_files, read_model
from curation.recipe import Loaded
from schemas.errors import CorpusError, DataError, RecipeError
from schemas.hiding import hide_in
from schemas.ids import content_id
from schemas.manifest import BASE_VERSION, InputFile, Manifest


class Lock(BaseModel):
    """All inputs of a mix, and the id of the result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = BASE_VERSION
    mix_id: str
    recipe: dict[str, object]
    recipe_id: str
    versions: dict[str, str]
    parts: dict[str, list[str]]
    """Names of the part files of each table."""
    inputs: list[InputFile]
    files: dict[str, str]
    """Hashes of what else decides: the benchmark registry, the tokenizer, the forms."""
    summary: dict[str, int]
    """Rows of each part of the mix, for a reader of the difference."""


def run(corpus_dir: Path, recipe: Loaded[MixRecipe], *, out: Path, lock: Path) -> Manifest:
    """Build a mix under a lock: write the lock where there is none, else build what it says.

    Raises:
        RecipeError: if the mix would not be the locked one; says what changed.
        CorpusError: if the corpus or a folder cannot be used.
        DataError: if the lock cannot be read.
    """
    corpus = Store(corpus_dir)
    if not lock.exists():
        now = snapshot(corpus)
        manifest = build(recipe, corpus, out, now)
        written = hide_in(_lock(manifest, recipe, now).model_dump(mode="json"))
        write_file(lock, json.dumps(written, indent=2, ensure_ascii=False).encode() + b"\n")
        return manifest
    locked = read(lock)
    recipe_changes = _changes(locked.recipe, hide_in(recipe.recipe.model_dump(mode="json")))
    if recipe_changes:
        raise _changed(lock, [f"the recipe: {change}" for change in recipe_changes])
    beside = out.parent / f".locked-{out.name}"
    try:
        manifest = build(recipe, corpus, beside, Snapshot(locked.parts, locked.inputs))
        if manifest.summary["mix_id"] != locked.mix_id:
            raise _changed(lock, what_changed(locked, manifest, recipe, corpus))
        folder.check_target(out)
        folder.take_place(beside, out)
    except RecipeError as error:
        missing = _missing(locked, corpus)
        raise (
            _changed(lock, [*missing, str(error)]) if missing and str(lock) not in str(error) else error
        ) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return manifest


def read(path: Path) -> Lock:
    """The lock in a file.

    Raises:
        DataError: if it is not a lock file.
        CorpusError: if a newer version of this toolkit wrote it.
    """
    check_format_version(path)
    try:
        return read_model(path, Lock)
    except CorpusError as error:
        raise DataError(f"{error}, or delete it to lock again") from error


def what_changed(locked: Lock, manifest: Manifest, recipe: Loaded[MixRecipe], corpus: Store) -> list[str]:
    """Why a locked build gave another mix, as far as the lock shows."""
    changes = _missing(locked, corpus)
    changes += [
        f"{name}: version {locked.versions.get(name)} then, {version} now"
        for name, version in manifest.versions.items()
        if locked.versions.get(name) != version
    ]
    now = hashes(recipe)
    changes += [
        f"{name} has other content"
        for name in sorted(locked.files.keys() | now.keys())
        if locked.files.get(name) != now.get(name)
    ]
    rows = _rows(manifest)
    changes += [
        f"part {name}: {locked.summary.get(name, 0)} rows then, {rows.get(name, 0)} now"
        for name in sorted(locked.summary.keys() | rows.keys())
        if locked.summary.get(name) != rows.get(name)
    ]
    return changes or [
        "nothing that a lock records, so the code of this toolkit or the bytes of a part changed"
    ]


def hashes(loaded: Loaded[MixRecipe]) -> dict[str, str]:
    """Hashes of the files besides the corpus that decide a mix: of forms and structures those that stand beside the recipe."""
    recipe = loaded.recipe
    paths = {"benchmarks.csv": Path(str(files("curation.overlap.decontaminate") / "benchmarks.csv"))}
    if recipe.tokenizer:
        paths["tokenizer.json"] = Path(recipe.tokenizer) / "tokenizer.json"
    found = {name: hash_files([path]) for name, path in paths.items()}
    for name, part in recipe.parts.items():
        if part.rewrite:
            found |= _form(part.rewrite, loaded.lines.file_of(("parts", name, "rewrite")))
    return found


def _form(form: str, recipe: Path) -> dict[str, str]:
    """The hash of a form's file by its name; nothing for a shipped one, which is part of the code."""
    if file := structure_file(form):  # as it is read, since it may extend another file
        return {file: content_id(find_structure(file, recipe).model_dump(mode="json"))}
    path = recipe.parent / form
    return {path.name: hash_files([path])} if not is_structure(form) and path.is_file() else {}


def _lock(manifest: Manifest, recipe: Loaded[MixRecipe], now: Snapshot) -> Lock:
    return Lock(
        mix_id=str(manifest.summary["mix_id"]),
        recipe=manifest.recipe,
        recipe_id=manifest.recipe_id,
        versions=manifest.versions,
        parts=now.parts,
        inputs=now.inputs,
        files=hashes(recipe),
        summary=_rows(manifest),
    )


def _rows(manifest: Manifest) -> dict[str, int]:
    tallies: Any = manifest.summary["parts"]
    return {name: tally["kept"] for name, tally in tallies.items()}


def _missing(locked: Lock, corpus: Store) -> list[str]:
    gone = {table: corpus.missing(table, names) for table, names in locked.parts.items()}
    return [
        f"{table}: {len(names)} of {len(locked.parts[table])} parts are gone ({names[0]}, ...)"
        for table, names in gone.items()
        if names
    ]


def _changes(a: Any, b: Any, place: str = "") -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        return [
            change
            for key in sorted(a.keys() | b.keys())
            for change in _changes(a.get(key), b.get(key), f"{place}.{key}".lstrip("."))
        ]
    return [] if a == b else [f"{place} was {a!r} and is {b!r}"]


def _changed(path: Path, changes: list[str]) -> RecipeError:
    lines = "\n".join(f"  {change}" for change in changes)
    return RecipeError(
        f"{path}: the locked mix cannot be rebuilt; delete the lock to build another. Changed:\n{lines}"
    )
