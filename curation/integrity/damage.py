"""What is wrong with a file of a corpus or a mix, and how it is put right."""

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
