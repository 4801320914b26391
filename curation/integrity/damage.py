"""What is wrong with a file of a corpus or a mix, and how it is put right."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Damage(NamedTuple):
    """One fault."""

    file: str
    """Below the folder that was checked."""
    kind: str
    """marker, part, packed, altered, duplicate, orphan, manifest, foreign or mix."""
    what: str
    fix: str


class Checked(NamedTuple):
    """What a check found."""

    folder: str
    holds: str
    """corpus or mix."""
    files: int
    """Files that were read."""
    rows: dict[str, int]
    """Rows that can be read, by table or split."""
    damage: list[Damage]
    unsealed: dict[str, int]
    """Parts without checksums, by table: of an earlier version, so that a changed value in them is not noticed."""


SET_ASIDE = "set it aside with: curate check --repair"
MADE_BY = {
    "prompts": "curate ingest, with the files named in manifests/ingest-*.json",
    "traces": "curate ingest, with the files named in manifests/ingest-*.json, or curate generate for generated ones",
    "quarantine": "curate ingest, with the files named in manifests/ingest-*.json",
    "annotations": "curate annotate, with the annotators named in manifests/annotate-*.json; people's by curate review pull",
    "review_tasks": "curate review push, with the round's name",
    "reviews": "curate review pull, or curate review import",
    "clusters": "curate dedup",
    "contamination": "curate decontaminate",
    "calibrations": "curate calibrate",
    "influences": "sft attribute, with --corpus",
    "amendments": "curate ingest, with the files that put the rows right",
    "codebooks": "curate codebook add, with the codebooks' files",
    "memberships": "curate ingest --set, with the sets' files",
}
"""The command that makes the rows of a table again; what is still there is not made twice."""


def damaged(part: Path | str, why: str) -> str:
    """What to say of a part that cannot be read."""
    said = next(iter(why.strip().splitlines()), "cannot be read")[:200]
    return f"{part}: a damaged part ({said}); `curate check` with --repair sets it aside and says how to make its rows again"


def gone(part: Path | str) -> str:
    """What to say of a file that was deleted while it was wanted."""
    return f"{part}: this file was deleted while it was wanted; if that was meant, run the same command again, else see: curate check"


def missing_file(error: FileNotFoundError) -> Path:
    """The file that an error misses; Arrow names it only in the message, or as the message."""
    quoted = re.search(r"local file '(.+)'\. Detail", str(error))
    return Path(os.fsdecode(error.filename or (quoted[1] if quoted else str(error))))


def within(path: Path, places: Iterable[Path]) -> bool:
    """Whether a file is one of some places or lies in one, by its name or where its links lead."""
    return any(
        form(path).is_relative_to(form(place)) for place in places for form in (Path.absolute, Path.resolve)
    )
