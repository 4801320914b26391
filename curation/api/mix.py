"""A mix in Python: what `curate why`, `diff` and `export` do, on one object."""

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curation.api.results import Explanation, QueryResult
from schemas import showing
from schemas.errors import DataError

if TYPE_CHECKING:
    from datasets import DatasetDict

    from schemas.choices import ChatTemplate, ExportFormat, MixSplit, Tier, TrainerName
    from schemas.manifest import Manifest

View = Literal["rows", "messages", "prompt_completion"]
FOLDERS: dict[View, str] = {"rows": "data", "messages": "messages", "prompt_completion": "prompt_completion"}


class Mix:
    """A training mix: the folder that `Corpus.build_mix` or `curate build-mix` made.

    Args:
        folder: where it is.
        corpus: the corpus it was made of; `why` needs it, and `diff` gives sharper reasons with it.

    Raises:
        DataError: if the folder is no mix.
        CorpusError: if a newer version of this toolkit wrote it.
    """

    def __init__(self, folder: str | PathLike[str], corpus: str | PathLike[str] | None = None) -> None:
        from curation.mix.folder import read_manifest

        self.folder = Path(folder)
        self.corpus = None if corpus is None else Path(corpus)
        self.manifest: Manifest = read_manifest(self.folder)

    def __fspath__(self) -> str:
        return fspath(self.folder)

    @property
    def id(self) -> str:
        """Hash of every row in order: equal mixes have equal ids."""
        return str(self.manifest.summary["mix_id"])

    def rows(self, split: "MixSplit" = "train") -> QueryResult:
        """The rows of a split, in the order they are trained in; none where the mix has no such split."""
        from curation.mix.folder import read_splits

        splits = read_splits(self.folder)
        return QueryResult(splits[split] if split in splits else splits["train"].slice(0, 0))

    def why(self, row_id: str, show: bool = False) -> Explanation:
        """Where a row came from, what was judged of it, and which clause of the recipe took it.

        Args:
            row_id: a row_id; a trace_id or source_id says why that trace is in the mix or not.
            show: give texts unmasked.

        Raises:
            DataError: if nothing has this id, or the mix was opened without its corpus.
        """
        from curation.report.why import why

        if self.corpus is None:
            raise DataError(
                f"{self.folder}: opened without its corpus; say Mix({str(self.folder)!r}, corpus=...)"
            )
        return Explanation(why(row_id, self.corpus, self.folder, show=show))

    def diff(self, other: "Mix | str | PathLike[str]") -> Explanation:
        """What makes another mix differ from this one: every row that came, went, moved or was judged anew, with the reason.

        Raises:
            DataError: if the other folder is no mix.
        """
        from curation.report.diff import diff

        return Explanation(diff(self.folder, Path(other), self.corpus))

    def export(
        self,
        out: str | PathLike[str],
        format: "ExportFormat | TrainerName" = "messages",
        template: "ChatTemplate" = "think",
        redact: "Tier" = "full",
        split: "MixSplit" = "train",
    ) -> Path:
        """Write the rows of a split in another trainer's format; returns the file or folder.

        Args:
            out: a .jsonl file, or .json for one array; a new folder for axolotl and llama-factory.
            format: messages, prompt-completion, sharegpt, alpaca or study; or axolotl or llama-factory, every split with the trainer's config.
            template: the target chat template: think, deepseek-r1, qwen3 or gpt-oss.
            redact: full, masked (harmful prompts and quotes of them) or ids (no text).
            split: train, or validation where the recipe asked for it.

        Raises:
            RecipeError: for an unknown format or template, or one that cannot hold what the template needs.
            DataError: naming the rows whose conversations the format cannot hold.
            CorpusError: if `out` cannot be written.
        """
        from curation.release import export, trainers

        if format == "axolotl" or format == "llama-factory":
            return trainers.write(
                self.folder, out=Path(out), trainer=format, template=template, redact=redact
            ).path
        return export.write(
            self.folder, out=Path(out), format=format, template=template, redact=redact, split=split
        ).path

    def to_dataset(self, view: View = "rows") -> "DatasetDict":
        """The mix as a `datasets.DatasetDict` with `train`, and `validation` where the recipe asked for it.

        Args:
            view: rows (reasoning and answer apart), messages, or prompt_completion.
        """
        import pyarrow.parquet as pq
        from datasets import Dataset, DatasetDict

        files = sorted((self.folder / FOLDERS[view]).glob("*.parquet"))
        return DatasetDict({file.name.partition("-")[0]: Dataset(pq.read_table(file)) for file in files})

    def __len__(self) -> int:
        summary: Any = self.manifest.summary
        return int(summary["rows"])

    def __repr__(self) -> str:
        return f"<Mix {str(self.folder)!r}: {len(self):,} rows, {self.id[:12]}>"

    def _repr_html_(self) -> str:
        summary: Any = self.manifest.summary
        parts = summary.get("parts", {}).items()
        tables: dict[str, showing.Rows] = {
            "parts": [
                {"part": name, "matched": told["matched"], "kept": told["kept"]} for name, told in parts
            ],
            **{
                name: showing.pairs(summary.get(name, {}), name, "rows")
                for name in ("kinds", "strategies", "patterns")
            },
            "tokens": [summary["tokens"]] if "tokens" in summary else [],
        }
        return showing.page(repr(self).strip("<>"), tables)
