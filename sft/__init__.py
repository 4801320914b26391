"""Train on a mix and measure what it did to the model.

    import sft
    sft.check(mix, "models/base")
    run = sft.train("config.yaml")
    sft.score(run, corpus="eval")
    sft.compare([run, other])
    sft.diff(run, other=other)
    sft.attribute(run, evaluation="eval", corpus="corpus")

Importing this loads nothing heavy: each function loads what it needs.
"""

from typing import TYPE_CHECKING

from schemas import __version__
from schemas.lazy import lazily

if TYPE_CHECKING:
    from sft.api import Run, attribute, check, compare, diff, score, train

HOMES = {"sft.api": "Run attribute check compare diff score train"}
__getattr__ = lazily(__name__, HOMES)

__all__ = ["Run", "__version__", "attribute", "check", "compare", "diff", "score", "train"]
