"""Reads markers and manifests: what is damaged or of a newer version of this toolkit is an error that says so."""

import json
from pathlib import Path

from schemas.errors import CorpusError
from schemas.ids import canonical_json, content_id
from schemas.manifest import FORMAT_VERSION, Manifest


def format_version(path: Path) -> int:
    """The version in a marker or manifest; raises as `check_format_version` does where it is damaged."""
    try:
        version = json.loads(path.read_bytes())["format_version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorpusError(
            f"{path}: not readable as a format marker ({error}); restore it from a copy"
        ) from error
    if type(version) is not int or version < 1:  # true and 1.0 equal 1, and are no versions
        raise CorpusError(
            f"{path}: format_version must be a whole number from 1 on, not {canonical_json(version).decode()[:40]}; "
            "restore the file from a copy"
        )
    return version


def manifest_name(manifest: Manifest) -> str:
    """File name of a manifest: its stage, and the content id of its inputs and recipe."""
    identity = [manifest.stage, [i.model_dump() for i in manifest.inputs], manifest.recipe]
    return f"{manifest.stage}-{content_id(identity)[:16]}.json"


def check_format_version(path: Path) -> None:
    """Reject a marker or manifest that is damaged or of a newer version of this toolkit.

    Raises:
        CorpusError: which of the two.
    """
    if (version := format_version(path)) > FORMAT_VERSION:
        raise CorpusError(
            f"{path}: format version {version} is newer than this toolkit supports ({FORMAT_VERSION}); "
            "upgrade with: pip install -U lrm-curate"
        )
