"""A model's scores, the outcomes behind them, and the files of both."""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from curation.engines import Sampling
from sft.scoring.asking import Think
from sft.scoring.suites import ReplyOutcome, SuiteScore

SCORES = "scores.json"
OUTCOMES = "outcomes.jsonl"
"""One line per reply, for comparisons prompt by prompt. Contains no text of prompts or replies; for coding problems `reason` may
have the last line, up to 200 characters, of the program's stderr."""


class Scores(BaseModel):
    """The scores of one model."""

    model_config = ConfigDict(extra="forbid")

    model: str
    """"name@fingerprint" of its weights."""
    mix_id: str | None
    """The mix it was trained on, for runs of `sft run`."""
    judge: str
    """The annotators behind the consensus labels."""
    sampling: Sampling
    samples: int = 1
    """Replies per prompt."""
    think: Think = "as_is"
    suites: list[SuiteScore]


class ScoringResult(NamedTuple):
    """A model's scores and the outcomes behind them."""

    scores: Scores
    outcomes: list[ReplyOutcome]
