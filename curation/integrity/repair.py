"""`curate check --repair`: sets what is damaged aside, keeps every row that can still be read, and says how to make the others again.

Nothing is deleted: files go to `damaged/`, each with a record beside it that is written first. Killed at any moment and run again, the
corpus ends the same.
"""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation import console
from curation.corpus.store import MARKER, Store, make_folder, write_file
from curation.integrity.corpus import DAMAGED, Examined, Mend, examine
from curation.integrity.damage import MADE_BY, Damage
from curation.integrity.parts import ALONE, BadPart, drop_index, hidden_by, keys, rewrite, whole
from curation.reading import hash_files
from curation.versions import versions
from schemas.errors import CorpusError
from schemas.ids import canonical_json
from schemas.manifest import BASE_VERSION, FORMAT_VERSION, Counts, InputFile, Manifest
from schemas.tables import TABLES, has_conversations

STAGE = "repair"


def run(corpus_dir: Path) -> Manifest:
    """Repair a corpus.

    Raises:
        CorpusError: if it cannot be written, or a newer version of this toolkit wrote it.
    """
    if not (corpus_dir / MARKER).exists() and not any((corpus_dir / table).is_dir() for table in TABLES):
        raise CorpusError(
            f"{corpus_dir}: not a corpus, so it cannot be repaired; a mix is built again with: curate build-mix"
        )
    examined = examine(corpus_dir)
    for damage in examined.checked.damage:
        if damage.kind == "marker":
            _mend_marker(corpus_dir, damage)
    corpus = Store(corpus_dir)
    with corpus.alone(*ALONE), corpus.writing(*TABLES):
        examined = examine(corpus_dir)  # again: others may have written before the lock was ours
        for table, part, damage in examined.lost:
            _set_aside(corpus_dir, part, damage, MADE_BY[table])
        for mend, damage in examined.mend:
            _mend(corpus, mend, examined, damage)
        for damage in examined.checked.damage:
            if damage.kind == "manifest" and damage.file.startswith("manifests/"):
                _set_aside(corpus_dir, corpus_dir / damage.file, damage, None)
        drop_index(corpus_dir)
    manifest = _manifest(corpus_dir, examine(corpus_dir).checked.damage)
    corpus.write_manifest(manifest)
    return manifest


def _mend_marker(root: Path, damage: Damage) -> None:
    if (root / MARKER).exists():
        _set_aside(root, root / MARKER, damage, None)
    version = FORMAT_VERSION if any(map(_talks, (root / "prompts").glob("part-*.parquet"))) else BASE_VERSION
    write_file(root / MARKER, canonical_json({"format_version": version}) + b"\n")


def _talks(part: Path) -> bool:
    """Whether a part of prompts has conversations, which a toolkit of version 1 must not read; not if it cannot be read."""
    try:
        return any(map(has_conversations, whole("prompts", part)))
    except (BadPart, CorpusError):
        return False


def _mend(corpus: Store, mend: Mend, examined: Examined, damage: Damage) -> None:
    known, given = examined.known[mend.table], set[str]()

    def mask(rows: pa.Table) -> list[bool]:
        kept = []
        for key in keys(mend.table, rows):
            kept.append(known.get(key) == mend.number and key not in given)
            given.add(key)
        return kept

    rewrite(corpus, mend.table, mend.part, mask)
    _set_aside(corpus.root, mend.part, damage, None)


def _set_aside(root: Path, path: Path, damage: Damage, lost: str | None) -> None:
    """Move a file into `damaged/`, after its record."""
    target = root / DAMAGED / path.relative_to(root)
    number = 1
    while os.path.lexists(target):  # an earlier one of the same name
        number += 1
        target = target.with_name(f"{path.stem}.{number}{path.suffix}")
    make_folder(target.parent)
    record = {
        "file": path.relative_to(root).as_posix(), "kind": damage.kind, "what": damage.what, "made_again_by": lost,
        "replaced": sorted(hidden_by(path)), "blake2b": hash_files([path]) if path.is_file() else None,
        "bytes": path.lstat().st_size,
    }  # fmt: skip
    write_file(target.with_name(f"{target.name}.json"), canonical_json(record) + b"\n")
    path.rename(target)


def _manifest(root: Path, left: list[Damage]) -> Manifest:
    """What was set aside, now and earlier, and what is still wrong."""
    records = [
        _record(path)
        for path in sorted((root / DAMAGED).rglob("*.json"))
        if os.path.lexists(path.with_suffix(""))
    ]
    commands = sorted({record["made_again_by"] for record in records} - {None})
    counts = Counts(rows=len(records) + len(left))
    if records:
        counts.add("filtered", "set aside", len(records))
    for damage in left:
        counts.add("failed", damage.kind)
    return Manifest(
        stage=STAGE,
        inputs=[InputFile(name=r["file"], blake2b=r["blake2b"]) for r in records if r["blake2b"]],
        versions=versions("lrm-curate", "pyarrow"),
        counts=counts,
        summary={
            "set_aside": records,
            "made_again_by": commands,
            "left": [damage._asdict() for damage in left],
        },
    )


def _record(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_bytes())
    return record


def show(manifest: Manifest) -> None:
    """Print what was set aside, the commands that make lost rows again, and what is still wrong."""
    summary: Any = manifest.summary
    for record in summary["set_aside"]:
        console.result(f"{DAMAGED}/{record['file']}: {record['what']}")
    for command in summary["made_again_by"]:
        console.result(f"make the lost rows again with: {command}")
    for damage in summary["left"]:
        console.result(f"{damage['file']}: {damage['what']}; {damage['fix']}")
