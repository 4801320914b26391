"""How every command of `curate` and `sft` reports: what a stage did by its manifest, what was read by one result."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from schemas.errors import CurateError

if TYPE_CHECKING:
    from schemas.manifest import Manifest

T = TypeVar("T")


def report(manifest: "Manifest", json: bool, show: "Callable[[Manifest], None] | None" = None) -> None:
    """Say a stage's counts; then print its manifest as JSON, or what it found out for a person.

    Raises:
        CurateError: if work was left undone, so that the command does not exit 0.
    """
    from curation import console

    console.say_counts(manifest.stage, manifest.counts)
    if json:
        console.json_result(manifest)
    elif show:
        show(manifest)
    check_failed(manifest)


def check_failed(manifest: "Manifest") -> None:
    """Raise CurateError if a stage left work undone."""
    if failed := manifest.counts.failed:
        listed = "; ".join(f"{reason} ({n})" for reason, n in list(failed.items())[:5])
        raise CurateError(
            f"{manifest.stage}: {sum(failed.values())} rows failed: {listed}; run the same command again to go on"
        )


def answer(value: T, json: bool, show: Callable[[T], None]) -> None:
    """Print what a command read: as JSON, or for a person."""
    from curation import console

    console.json_result(value) if json else show(value)
