"""Sentence vectors and pairs of similar ones: the semantic method of dedup and decontaminate.

Pairs are found by matrix products, block by block: exact, deterministic, and fast compared with the model.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from annotators.embedding import encoder
from schemas.errors import require

Vectors = np.ndarray[Any, np.dtype[np.float32]]

TOKENS = 256
"""Maximum tokens of a text, as in the model's training."""
BATCH = 64
BLOCK = 2048


class Close(NamedTuple):
    """Pairs of rows with a cosine at or above a threshold."""

    left: "np.ndarray[Any, np.dtype[np.int64]]"
    right: "np.ndarray[Any, np.dtype[np.int64]]"
    cosine: Vectors


def embed(texts: Sequence[str]) -> Vectors:
    """A unit vector for each text: the mean over its tokens.

    Raises:
        MissingExtraError: if sentence-transformers is not installed.
    """
    require("torch", "sentence_transformers", extra="models")
    import torch

    model, tokenizer = encoder.load()
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # sorted by length to minimise padding
    vectors = np.zeros((len(texts), int(model.config.hidden_size)), dtype=np.float32)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        inputs = tokenizer(
            [texts[row] for row in rows],
            padding=True,
            truncation=True,
            max_length=TOKENS,
            return_tensors="pt",
        )
        inputs = inputs.to(model.device)
        with torch.inference_mode():
            states = model(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"].unsqueeze(-1).float()
        means = (states * mask).sum(1) / mask.sum(1)
        vectors[rows] = torch.nn.functional.normalize(means, dim=1).cpu().numpy()
    return vectors


def close_pairs(left: Vectors, right: Vectors, threshold: float, same: bool = False) -> Iterator[Close]:
    """Pairs of a row of `left` and one of `right`, block by block; with `same` (left is right) each pair once."""
    for start in range(0, len(left), BLOCK):
        begin = start if same else 0
        products = left[start : start + BLOCK] @ right[begin:].T
        rows, columns = np.nonzero(products >= threshold)
        values = products[rows, columns]
        rows, columns = rows + start, columns + begin
        wanted = rows < columns if same else slice(None)
        yield Close(rows[wanted], columns[wanted], values[wanted])
