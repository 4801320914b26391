"""Sentence vectors in context, from the first layers of all-MiniLM-L6-v2 or from an encoder of the user's.

A sentence's vector is the mean of its tokens in a middle layer (how it is said) beside that in the last one (what it says). Windows of several
traces share rows of a batch and attend only to themselves: hardly a token is padding, and shapes repeat, which suits the CPU's
kernels. Layers below the middle are never trained, so what they make of a window is kept while those above learn.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from annotators.embedding.encoder import load
from annotators.embedding.reading import Window
from schemas.errors import EngineError

ROW = 128
"""Tokens in a row of a batch; a window and its two special tokens fit."""
ROWS = 32
MIDDLE = 2
LAYERS = 3
"""Read of MiniLM: its last layers were trained to say what a text is about, which is not asked here."""
APART = -1e4
PADDING = -1


class Rows(NamedTuple):
    """Windows packed into rows of one length; tensors are (rows, ROW)."""

    ids: Tensor
    positions: Tensor
    owners: Tensor
    """Which of the row's windows a token belongs to; PADDING where none."""
    windows: list[tuple[Window, int, int]]
    """Each with its row, and where it starts there."""


class SentenceVectors(nn.Module):
    """The encoder below a reader. Only what is trained is a part of the module."""

    def __init__(self, base: Path | None = None) -> None:
        """Load it.

        Args:
            base: a folder with an encoder, which is read and trained whole; None for the first layers of MiniLM.

        Raises:
            MissingExtraError: if the extra is not installed.
            EngineError: if the encoder cannot be loaded.
        """
        super().__init__()
        model, self.tokenizer = _opened(base) if base else deepcopy(load())
        self._hidden = (model,)  # a tuple, so that it is no part of the module
        self.width = 2 * int(model.config.hidden_size)
        self.packs = base is None
        special = self.tokenizer("")["input_ids"]
        self.before, self.after = special[:1], special[1:]
        self.upper: Any = model.encoder.layer[MIDDLE:LAYERS] if self.packs else model
        self.kept: dict[Window, Tensor] = {}
        """What the lower layers made of a window."""

    def forward(self, windows: Iterable[Window]) -> dict[Window, Tensor]:
        """The vectors (sentences, width) of each window's sentences."""
        found = {}
        for rows in self._rows(windows):
            sums = [pad(states.float().cumsum(1), (0, 0, 1, 0)) for states in self._states(rows)]
            for window, row, start in rows.windows:
                bounds = torch.tensor([0, *window.ends], device=sums[0].device) + start + len(self.before)
                means = [total[row, bounds].diff(dim=0) / bounds.diff()[:, None] for total in sums]
                found[window] = torch.cat(means, -1)
        return found

    def keep(self, windows: Iterable[Window]) -> Iterator[int]:
        """Read windows up to the middle, once and for all; yields how many at a time."""
        if not self.packs:
            return
        for rows in self._rows(window for window in windows if window not in self.kept):
            with torch.no_grad(), self.precision():
                middle = self._lower(rows, _apart(rows)).to(torch.bfloat16)
            for window, row, start in rows.windows:
                self.kept[window] = middle[row, start : start + self._length(window)].clone()
            yield len(rows.windows)

    def train(self, mode: bool = True) -> "SentenceVectors":
        """Attention in the form that is faster forwards and backwards, or forwards only."""
        self._hidden[0].set_attn_implementation("eager" if mode else "sdpa")
        return super().train(mode)

    def for_reading(self) -> None:
        """Get ready to read: in half precision where the machine is fast at it."""
        self._hidden[0].to(torch.bfloat16 if self.fast_half else torch.float32)
        self.eval()

    @property
    def fast_half(self) -> bool:
        """Whether the machine is fast in half precision; one without units for it takes several times as long as in full."""
        return self.device.type == "cuda" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))

    def precision(self) -> torch.autocast:
        """What to learn in, as a context: half precision where the machine is fast in it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.fast_half)

    @property
    def device(self) -> torch.device:
        """Where it computes: on the GPU if there is one."""
        return torch.device(self._hidden[0].device)

    @property
    def reads_half(self) -> bool:
        """Whether it reads in half precision."""
        return bool(self._hidden[0].dtype == torch.bfloat16)

    def for_learning(self) -> None:
        """Get ready to learn: in full precision, layers below the middle left out."""
        self._hidden[0].to(torch.float32)
        self.train()

    def _states(self, rows: Rows) -> tuple[Tensor, Tensor]:
        if not self.packs:
            mask = (rows.owners != PADDING).long()
            states = self.upper(rows.ids, attention_mask=mask, output_hidden_states=True).hidden_states
            return states[len(states) // 2], states[-1]
        apart = _apart(rows)
        known = all(window in self.kept for window, _, _ in rows.windows)
        middle = last = self._kept(rows) if known else self._lower(rows, apart)
        for layer in self.upper:
            last = layer(last, apart.to(last.dtype))
        return middle, last

    def _lower(self, rows: Rows, apart: Tensor) -> Tensor:
        model = self._hidden[0]
        states: Tensor = model.embeddings(input_ids=rows.ids, position_ids=rows.positions)
        for layer in model.encoder.layer[:MIDDLE]:
            states = layer(states, apart.to(states.dtype))
        return states

    def _kept(self, rows: Rows) -> Tensor:
        states = torch.zeros(*rows.ids.shape, self.width // 2, dtype=torch.bfloat16, device=rows.ids.device)
        for window, row, start in rows.windows:
            known = self.kept[window]
            states[row, start : start + len(known)] = known
        return states if self.fast_half else states.float()

    def _rows(self, windows: Iterable[Window]) -> Iterator[Rows]:
        """Windows, each once, packed into rows: the longest first, each into the row where it leaves the least room."""
        rows: list[list[Window]] = []
        with_room: list[list[int]] = [[] for _ in range(ROW + 1)]
        for window in sorted(dict.fromkeys(windows), key=lambda window: -len(window.ids)):
            length = self._length(window)
            if not self.packs or not (room := next((r for r in range(length, ROW + 1) if with_room[r]), 0)):
                rows.append([])
                room, number = max(ROW, length), len(rows) - 1
            else:
                number = with_room[room].pop()
            rows[number].append(window)
            with_room[min(ROW, room - length)].append(number)
        for start in range(0, len(rows), ROWS):
            yield self._filled(rows[start : start + ROWS])

    def _length(self, window: Window) -> int:
        return len(self.before) + len(window.ids) + len(self.after)

    def _filled(self, rows: Sequence[Sequence[Window]]) -> Rows:
        height = -(-len(rows) // 4) * 4  # few different shapes
        ids = torch.full((height, ROW), int(self.tokenizer.pad_token_id or 0))
        positions, owners = torch.zeros_like(ids), torch.full_like(ids, PADDING)
        placed = []
        for number, row in enumerate(rows):
            start = 0
            for owner, window in enumerate(row):
                wrapped = torch.tensor([*self.before, *window.ids, *self.after])
                here = slice(start, start + len(wrapped))
                ids[number, here], owners[number, here] = wrapped, owner
                positions[number, here] = torch.arange(len(wrapped))
                placed.append((window, number, start))
                start += len(wrapped)
        return Rows(ids.to(self.device), positions.to(self.device), owners.to(self.device), placed)


def _apart(rows: Rows) -> Tensor:
    """What is added to attention, (rows, 1, ROW, ROW): nothing within a window, much below zero elsewhere."""
    return (rows.owners[:, None, :, None] != rows.owners[:, None, None, :]) * APART


def _opened(base: Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = AutoModel.from_pretrained(base, **options)
        return model.to("cuda" if torch.cuda.is_available() else "cpu"), AutoTokenizer.from_pretrained(
            base, **options
        )
    except (OSError, ValueError) as error:
        raise EngineError(f"{base}: no encoder that transformers can open ({error})") from error
