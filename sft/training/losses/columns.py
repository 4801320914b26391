"""Columns of our own in a batch, and what a whole optimiser step has of them.

A loss that is a mean over something other than tokens (decided rows, weights) must not depend on how a step is cut into micro-batches
and processes. So the totals of a step are counted before its first micro-batch is computed, over all of them. The surprise: the
trainer averages gradients over processes, so each divides by the total of all and multiplies by their number.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Count = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]
"""How much of something a batch has; a number as a tensor."""


class WithColumns:
    """A collator that keeps columns which the trainer's own would drop.

    Args:
        inner: the trainer's collator.
        of_rows: columns with one value for each row of a sequence; they become (rows,).
        of_tokens: columns with one value for each token; they become (sequences, tokens) as `input_ids` are, 0 on padding.
    """

    def __init__(self, inner: Any, of_rows: Sequence[str] = (), of_tokens: Sequence[str] = ()) -> None:
        self._inner = inner
        self._of_rows, self._of_tokens = of_rows, of_tokens

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        own = (*self._of_rows, *self._of_tokens)
        batch: dict[str, Any] = self._inner([{k: v for k, v in row.items() if k not in own} for row in rows])
        for name in self._of_rows:
            batch[name] = torch.tensor(
                [value for row in rows for value in row.get(name, ())], dtype=torch.float32
            )
        for name in self._of_tokens:
            if name in rows[0]:
                batch[name] = _laid_out([row[name] for row in rows], batch["input_ids"].shape)
        return batch


def _laid_out(rows: Sequence[Sequence[float]], shape: Sequence[int]) -> torch.Tensor:
    """Values of tokens in the shape of `input_ids`: one sequence after another in a single one, or each padded on the right."""
    if shape[0] == 1:
        rows = [[value for row in rows for value in row]]
    return torch.tensor([[*row, *[0.0] * (shape[1] - len(row))] for row in rows], dtype=torch.float32)


class StepTotals:
    """A mixin before a trainer's class: columns of our own, counted over the micro-batches and processes of an optimiser step."""

    def keep_columns(self: Any, of_rows: Sequence[str] = (), of_tokens: Sequence[str] = ()) -> None:
        """Have batches keep these columns."""
        self.data_collator = WithColumns(self.data_collator, of_rows, of_tokens)
        self._own_columns = (*getattr(self, "_own_columns", ()), *of_rows, *of_tokens)

    def count_in_steps(self: Any, name: str, count: Count) -> None:
        """Have `count` counted over every step from now on, as `name`."""
        self._counts = {**getattr(self, "_counts", {}), name: count}

    def _set_signature_columns_if_needed(self: Any) -> None:
        super()._set_signature_columns_if_needed()  # type: ignore[misc]
        self._signature_columns = list(dict.fromkeys([*self._signature_columns, *self._own_columns]))

    def get_batch_samples(self: Any, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """The micro-batches of a step; counts what they have together."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)  # type: ignore[misc]
        self._totals = {
            name: self._of_all_processes(sum(count(batch) for batch in batches), device)
            for name, count in self._counts.items()
        }
        return batches, items

    def total(self: Any, name: str, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What the whole step has; when measuring, what the batch has. At least 1e-12, so that it can be divided by."""
        of_step = self._totals[name] if self.model.training else self._counts[name](batch)
        return torch.clamp(of_step, min=1e-12)

    def scale(self: Any, num_items_in_batch: Any) -> float:
        """What a share of a step's mean is multiplied by, so that the trainer's own divisions leave it that share."""
        if not self.model.training:
            return 1.0
        divided_later = not (self.model_accepts_loss_kwargs and num_items_in_batch is not None)
        processes = float(self.accelerator.num_processes)
        return processes * (self.current_gradient_accumulation_steps if divided_later else 1)

    def _of_all_processes(self: Any, count: torch.Tensor, device: Any) -> torch.Tensor:
        count = torch.as_tensor(count, dtype=torch.float32).to(device)
        if self.accelerator.num_processes == 1:
            return count
        gathered: torch.Tensor = self.accelerator.gather(count).sum()
        return gathered
