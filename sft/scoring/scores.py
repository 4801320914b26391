"""A model's scores, the outcomes behind them, and the files of both."""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from curation.engines import Sampling
from curation.page import percent
from schemas import showing
from schemas.choices import ScoredThink
from sft.scoring.suites import Rate, ReplyOutcome, SuiteScore

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
    """The annotators that ran; each suite names the judge of its headline."""
    sampling: Sampling | None = None
    samples: int = 1
    think: ScoredThink = "as_is"
    """How all suites were asked, in files of earlier versions."""
    suites: list[SuiteScore]

    def __repr__(self) -> str:
        told = (f"{s.suite} {s.rates[0].measure} {percent(s.rates[0].rate)}" for s in self.suites)
        return f"<Scores of {self.model}: {'; '.join(told)}>"

    def _repr_html_(self) -> str:
        return showing.page(f"Scores of {self.model}, judged by {self.judge}", self.tables())

    def tables(self) -> dict[str, showing.Rows]:
        """Every rate with its interval, by suite."""
        return {suite.suite: [_row(rate) for rate in suite.rates] for suite in self.suites}


def _row(rate: Rate) -> dict[str, object]:
    interval = f"{percent(rate.low)} to {percent(rate.high)}"
    return {
        "measure": rate.measure,
        "k / n": f"{rate.k} / {rate.n}",
        "rate": percent(rate.rate),
        "95 % interval": interval,
        "coverage": percent(rate.coverage),
    }


class ScoringResult(NamedTuple):
    """A model's scores and the outcomes behind them."""

    scores: Scores
    outcomes: list[ReplyOutcome]
    failed: dict[str, str]
    """Suites that lack replies, and why."""
