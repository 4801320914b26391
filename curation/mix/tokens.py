"""Token counts of traces: exact with a tokenizer, else recorded or estimated; a mix says which it used."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from schemas.conversation import whole_text
from schemas.errors import RecipeError
from schemas.tables import TRACES

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ESTIMATE = """coalesce(prompt_tokens + reasoning_tokens + answer_tokens,
    (coalesce(list_sum(list_transform(turns, lambda turn: strlen(turn.content) + coalesce(strlen(turn.tool_calls), 0))),
        strlen(prompt)) + coalesce(strlen(tools), 0) + strlen(reasoning) + strlen(answer) + 3) // 4)::int"""
"""SQL over `traces`: counts the engine recorded, else UTF-8 bytes / 4 (within 10-20 % for English in common BPEs). The reasoning
of earlier turns is left out, as most templates do."""


READ = ("prompt", "turns", "tools", "reasoning", "answer")
"""Columns of a trace that are counted."""


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
        """Tokens of each trace of a batch with the columns prompt, reasoning and answer, and perhaps turns and tools."""
        assert self._tokenizer is not None
        totals = [0] * batch.num_rows
        for texts in (_asked(batch), *(batch.column(name).to_pylist() for name in ("reasoning", "answer"))):
            encoded = self._tokenizer.encode_batch(texts, add_special_tokens=False)
            totals = [total + len(encoding) for total, encoding in zip(totals, encoded, strict=True)]
        return totals

    def count_rows(self, rows: Sequence[dict[str, Any]]) -> list[int]:
        """Tokens of each row with prompt, reasoning and answer; estimated where there is no tokenizer."""
        if not rows:
            return []
        if self.exact:
            names = [name for name in READ if name in rows[0]]
            given = [{name: row[name] for name in names} for row in rows]
            return self.count(
                pa.RecordBatch.from_pylist(given, pa.schema([TRACES.field(name) for name in names]))
            )
        texts = [
            whole_text(row["prompt"], row.get("turns"), row.get("tools")) + row["reasoning"] + row["answer"]
            for row in rows
        ]
        return [(len(text.encode("utf-8")) + 3) // 4 for text in texts]


def _asked(batch: pa.RecordBatch) -> list[str]:
    prompts: list[str] = batch.column("prompt").to_pylist()
    talks = [batch.column(name) if name in batch.schema.names else None for name in ("turns", "tools")]
    if all(column is None or column.null_count == batch.num_rows for column in talks):
        return prompts
    told = [[None] * batch.num_rows if column is None else column.to_pylist() for column in talks]
    return [whole_text(*row) for row in zip(prompts, *told, strict=True)]


def _load(folder: str) -> "Tokenizer":
    from tokenizers import Tokenizer

    path = Path(folder) / "tokenizer.json"
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        raise RecipeError(
            f"{path}: no readable tokenizer ({error}); name the folder of a downloaded model"
        ) from error
