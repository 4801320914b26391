"""Looks for mixes and exports that still hold forgotten rows: mixes by the ids in their rows, other text files by those ids as text.

An export names its rows by the ids of the mix, so it is found only while a mix is.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from curation.mix import folder
from schemas.errors import CurateError

DEPTH = 3
"""Folders below the one that is looked in."""
TEXTS = (".jsonl", ".json", ".csv", ".html", ".md")
BLOCK = 2**20
ID = re.compile(rb"[0-9a-f]{32}")


class StillHeld(NamedTuple):
    """A mix or an export with forgotten rows, or built on a forgotten annotator's verdicts."""

    path: str
    what: str
    fix: str


def holders(places: Sequence[Path], ids: set[str], annotator: str | None) -> list[StillHeld]:
    """Every mix and export in some folders that holds forgotten rows.

    Args:
        places: the folders.
        ids: of the traces and prompts that were removed.
        annotator: whose verdicts were removed.
    """
    files = [path for place in places for path in sorted(_files(place, DEPTH))]
    found: list[StillHeld] = []
    named = set(ids)
    for path in files:
        if path.name == "manifest.json":
            found += _mix(path.parent, ids, annotator, named)
    wanted = {value.encode() for value in named}
    found += [
        StillHeld(str(path), "ids of the rows", "export it again, or delete it")
        for path in files
        if path.suffix in TEXTS and path.name != "manifest.json" and wanted and _names(path, wanted)
    ]
    return found


def _files(place: Path, depth: int) -> Iterator[Path]:
    """Files of a folder, without hidden ones and the corpora in it."""
    try:
        entries = list(os.scandir(place))
    except OSError:
        return
    if any(entry.name == "corpus.json" for entry in entries):
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_dir() and depth:
            yield from _files(Path(entry.path), depth - 1)
        elif entry.is_file():
            yield Path(entry.path)


def _mix(mix: Path, ids: set[str], annotator: str | None, named: set[str]) -> Iterator[StillHeld]:
    """What a mix holds; the ids of its rows are added to those that are looked for."""
    fix = f"build it again with: curate build-mix RECIPE --out {mix}"
    try:
        manifest = folder.read_manifest(mix)
        if manifest.stage != "build-mix":
            return
        columns = ["row_id", "trace_id", "prompt_id"]
        rows = [
            row for split in folder.read_splits(mix).values() for row in split.select(columns).to_pylist()
        ]
    except CurateError:
        return
    if mine := [row["row_id"] for row in rows if row["trace_id"] in ids or row["prompt_id"] in ids]:
        named.update(mine)
        yield StillHeld(str(mix), f"{len(mine)} rows", fix)
    names = manifest.summary.get("annotators")
    for name in names if annotator and isinstance(names, dict) else ():
        if annotator in (name, name.rpartition("@")[0]):
            yield StillHeld(str(mix), f"rows chosen with the verdicts of {name}", fix)


def _names(path: Path, wanted: set[bytes]) -> bool:
    """Whether a file has one of some ids in its text."""
    rest = b""
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                if not wanted.isdisjoint(ID.findall(rest + block)):
                    return True
                rest = block[-31:]
    except OSError:
        pass
    return False
