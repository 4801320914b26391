"""How a model did: the scores, what they are made of, and the files that keep both."""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from curation.engines import Sampling
from sft.scoring.asking import Think
from sft.scoring.suites import Outcome, SuiteScore

SCORES = "scores.json"
OUTCOMES = "outcomes.jsonl"
"""One line per reply, for comparisons prompt by prompt. No text of prompts and replies, but for coding problems `reason` may hold
the last line, up to 200 characters, that the reply's program wrote to stderr."""


class Scores(BaseModel):
    """How one model did."""

    model_config = ConfigDict(extra="forbid")

    model: str
    """"name@fingerprint" of its weights."""
    mix_id: str | None
    """The mix it was trained on, for a run of `sft run`."""
    judge: str
    """The annotators whose consensus judged."""
    sampling: Sampling
    samples: int = 1
    """Replies per prompt."""
    think: Think = "as_is"
    suites: list[SuiteScore]


class Scored(NamedTuple):
    """A model's scores and what they are made of."""

    scores: Scores
    outcomes: list[Outcome]
