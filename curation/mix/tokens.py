"""Token counts of traces: exact with a tokenizer, else recorded or estimated; a mix says which it used."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from schemas.errors import RecipeError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ESTIMATE = """coalesce(prompt_tokens + reasoning_tokens + answer_tokens,
    (strlen(prompt) + strlen(reasoning) + strlen(answer) + 3) // 4)::int"""
"""SQL over `traces`: counts the engine recorded, else UTF-8 bytes / 4 (within 10-20 % for English in common BPEs)."""


class TokenCounter:
    """Counts the tokens of a trace's prompt, reasoning and answer, without the chat template's own few.

    Raises:
        RecipeError: if the tokenizer's folder holds no readable tokenizer.json.
    """

    def __init__(self, folder: str | None) -> None:
        self._tokenizer = _load(folder) if folder else None
        self._name = Path(folder).name if folder else ""

    @property
    def exact(self) -> bool:
        """Whether a tokenizer does the counting."""
        return self._tokenizer is not None

    def describe(self) -> str:
        """How it counts, for manifests."""
        return f"tokenizer {self._name}" if self.exact else "recorded counts, else UTF-8 bytes / 4"

    def count(self, batch: pa.RecordBatch) -> list[int]:
        """Tokens of each trace of a batch with the columns prompt, reasoning and answer."""
        assert self._tokenizer is not None
        totals = [0] * batch.num_rows
        for name in ("prompt", "reasoning", "answer"):
            encoded = self._tokenizer.encode_batch(batch.column(name).to_pylist(), add_special_tokens=False)
            totals = [total + len(encoding) for total, encoding in zip(totals, encoded, strict=True)]
        return totals

    def count_rows(self, rows: Sequence[dict[str, Any]]) -> list[int]:
        """Tokens of each row with prompt, reasoning and answer; estimated where there is no tokenizer."""
        if not rows:
            return []
        if self.exact:
            names = ("prompt", "reasoning", "answer")
            return self.count(
                pa.RecordBatch.from_pylist([{name: row[name] for name in names} for row in rows])
            )
        texts = [row["prompt"] + row["reasoning"] + row["answer"] for row in rows]
        return [(len(text.encode("utf-8")) + 3) // 4 for text in texts]


def _load(folder: str) -> "Tokenizer":
    from tokenizers import Tokenizer

    path = Path(folder) / "tokenizer.json"
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        raise RecipeError(
            f"{path}: no readable tokenizer ({error}); name the folder of a downloaded model"
        ) from error
