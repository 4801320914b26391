"""`curate push`: publishes a mix on the Hugging Face hub, after confirmation of the exact contents and destination.

The surprise: `create_repo(private=True)` does not change an existing public repository, so the visibility is checked before
anything is sent. The token is handled by the hub library; it is never read, shown or logged here.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from curation.corpus.store import write_file, write_parquet
from curation.mix import folder
from curation.mix.card import UNKNOWN, card, source_lines
from curation.reading import read_model
from curation.release.redaction import redacted
from schemas.choices import Tier
from schemas.errors import CorpusError, DataError
from schemas.manifest import Manifest


class PublicationPlan(NamedTuple):
    """What would be published, for confirmation."""

    repository: str
    private: bool
    tier: Tier
    rows: int
    harmful: int
    """Rows of harmful or unknown kind."""
    unlicensed: list[str]
    """Sources without a stated licence."""
    files: list[str]

    def describe(self) -> str:
        """The text of the confirmation."""
        lines = [
            f"Publish {self.rows} rows to the {'private' if self.private else 'PUBLIC'} dataset {self.repository}",
            f"  text: {'all of it' if self.tier == 'full' else self.tier}; {self.harmful} rows on harmful or unlabelled prompts",
            f"  files: {', '.join(self.files)}",
        ]
        if self.unlicensed:
            lines.append(f"  no licence stated for: {', '.join(self.unlicensed)}")
        return "\n".join(lines)


def publish(
    mix: Path, repository: str, *, tier: Tier, private: bool, confirm: Callable[[PublicationPlan], bool]
) -> str | None:
    """Publish a mix; returns its address, or null if not confirmed.

    Args:
        mix: the folder.
        repository: "owner/name".
        tier: how much of the text is published.
        private: whether only the owner can see it.
        confirm: called once, before anything is sent.

    Raises:
        DataError: if the folder is not a mix or was changed since the build, or the hub rejects it.
    """
    with tempfile.TemporaryDirectory(prefix="curate-push-") as scratch:
        staged = stage(mix, Path(scratch) / "mix", tier)
        if not confirm(_offer(mix, staged, repository, tier, private)):
            return None
        return _upload(staged, repository, private)


def stage(mix: Path, out: Path, tier: Tier) -> Path:
    """Write the dataset folder of a tier: a copy of the mix or a redacted one, without local paths.

    Raises:
        DataError: if the folder is not a mix, or its files were changed after the build.
        CorpusError: if `out` is there already.
    """
    if out.exists():
        raise CorpusError(f"{out}: already there; name a new folder, or delete this one")
    manifest = folder.read_manifest(mix)
    folder.check_files(mix, manifest)
    public = manifest.model_copy(update={"recipe": _without_paths(manifest.recipe)})
    if tier == "full":
        shutil.copytree(mix, out)
        write_file(out / "manifest.json", public.model_dump_json(indent=2).encode() + b"\n")
        return out
    splits = {split: redacted(rows, tier) for split, rows in folder.read_splits(mix).items()}
    summary = {**public.summary, "redaction": tier, "redacted_from": public.summary["mix_id"]}
    if tier == "masked":
        summary["mix_id"] = folder.mix_id(splits["train"])
        public = public.model_copy(update={"summary": summary})
        folder.write(out, splits["train"], public, False, splits.get("validation"))
        return out
    public = public.model_copy(update={"summary": summary, "outputs": {}})
    for split, rows in splits.items():
        write_parquet(out / "data" / f"{split}-00000-of-00001.parquet", rows)
    write_file(out / "README.md", card(public).encode())
    write_file(out / "manifest.json", public.model_dump_json(indent=2).encode() + b"\n")
    return out


def _without_paths(recipe: dict[str, Any]) -> dict[str, Any]:
    parts = {
        name: part | {"rewrite": part["rewrite"] and Path(part["rewrite"]).name}
        if "rewrite" in part
        else part
        for name, part in recipe["parts"].items()
    }
    tokenizer = recipe.get("tokenizer")
    return recipe | {"parts": parts, "tokenizer": tokenizer and Path(tokenizer).name}


def _offer(mix: Path, staged: Path, repository: str, tier: Tier, private: bool) -> PublicationPlan:
    manifest = read_model(staged / "manifest.json", Manifest)
    # of the mix itself, in every split: a redacted copy may not have the column, and the summary counts the training split
    kinds = Counter(kind for rows in folder.read_splits(mix).values() for kind in rows["kind"].to_pylist())
    harmless = sum(kinds[kind] for kind in ("benign", "math", "code"))
    return PublicationPlan(
        repository,
        private,
        tier,
        kinds.total(),
        kinds.total() - harmless,
        sorted({line["source"] for line in source_lines(manifest) if line["license"] == UNKNOWN}),
        sorted(str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file()),
    )


def _upload(staged: Path, repository: str, private: bool) -> str:
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        address = api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        if private and not api.repo_info(repository, repo_type="dataset").private:
            raise DataError(
                f"{repository} already exists and is public; nothing was sent. Make it private, or add --public"
            )
        api.upload_folder(
            folder_path=str(staged),
            repo_id=repository,
            repo_type="dataset",
            commit_message=f"curate push: {folder.read_manifest(staged).summary['mix_id']}",
        )
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - the hub's errors, its HTTP client's and its checks of names share no base
        raise DataError(
            f"{repository}: the hub rejected the upload or cannot be reached ({type(error).__name__}: {error}); "
            "see `hf auth login` and the repository's name"
        ) from None
    return str(address)
