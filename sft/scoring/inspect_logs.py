"""`sft score --export inspect`: scored replies as logs for Inspect AI's `inspect view`, one per suite.

Replies to harmful prompts are masked as in reports, unless requested otherwise. An unjudged reply has no score in the log,
which Inspect counts as unscored, not as wrong.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotators.earlier import with_earlier_turns
from curation.corpus.filling import sql_file
from curation.corpus.query import Connection, connect, select
from curation.corpus.store import Store
from curation.review.records import SHOWN
from curation.versions import versions
from schemas.errors import require
from sft.scoring.masking import masked_reply
from sft.scoring.scores import Scores, ScoringResult
from sft.scoring.suites import Rate, ReplyOutcome, SuiteScore

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample, EvalScore

FOLDER = "inspect"
EMPTY = "[nothing]"


def require_library() -> None:
    """Check early that the library is installed.

    Raises:
        MissingExtraError: if it is not.
    """
    require("inspect_ai")


def write(corpus: Store, scored: ScoringResult, out: Path, show: bool = False) -> list[Path]:
    """Write one log per suite.

    Args:
        corpus: has the replies.
        scored: their scores.
        out: the folder for `inspect/SUITE.eval`.
        show: do not mask harmful prompts and their replies.

    Raises:
        MissingExtraError: without the library.
    """
    require_library()
    from inspect_ai.log import write_eval_log

    connection = connect(corpus)
    written = []
    for suite in scored.scores.suites:
        of_suite = [outcome for outcome in scored.outcomes if outcome.suite == suite.suite]
        replies = _replies(connection, [outcome.trace_id for outcome in of_suite])
        path = out / FOLDER / f"{suite.suite}.eval"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_eval_log(_log(scored.scores, suite, of_suite, replies, corpus.root.name, show), str(path))
        written.append(path)
    return written


def _replies(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    query = sql_file("sft.scoring", "logged_replies.sql")
    rows = select(connection, query, {"ids": list(ids)}).to_pylist()
    for row in rows:
        row["prompt"] = with_earlier_turns(row["prompt"], row.pop("turns"), SHOWN)
    return {row.pop("trace_id"): row for row in rows}


def _log(
    scores: Scores, suite: SuiteScore, of_suite: Sequence[ReplyOutcome], replies: dict[str, dict[str, Any]],
    dataset: str, show: bool,
) -> "EvalLog":  # fmt: skip
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalResults, EvalSpec

    samples = [_sample(outcome, replies[outcome.trace_id], scores, show) for outcome in of_suite]
    prompts = list(dict.fromkeys(outcome.prompt_id for outcome in of_suite))
    spec = EvalSpec(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=suite.suite,
        dataset=EvalDataset(name=dataset, samples=len(prompts), sample_ids=prompts),
        model=scores.model,
        config=EvalConfig(epochs=suite.asked_how.samples if suite.asked_how else 1),
        packages=versions("lrm-curate", "inspect-ai"),
        metadata={
            "judge": suite.judge, "mix_id": scores.mix_id, **(suite.asked_how.model_dump() if suite.asked_how else {}),
        },
    )  # fmt: skip
    results = EvalResults(
        total_samples=len(samples),
        completed_samples=len(samples),
        scores=[_rate(rate) for rate in suite.rates],
    )
    return EvalLog(status="success", eval=spec, results=results, samples=samples)


def _rate(rate: Rate) -> "EvalScore":
    from inspect_ai.log import EvalMetric, EvalScore

    numbers = {"rate": rate.rate, "low": rate.low, "high": rate.high}
    return EvalScore(
        name=rate.measure,
        scorer="sft score",
        scored_samples=rate.n,
        unscored_samples=rate.unjudged,
        metrics={
            name: EvalMetric(name=name, value=value) for name, value in numbers.items() if value is not None
        },
    )


def _sample(outcome: ReplyOutcome, reply: dict[str, Any], scores: Scores, show: bool) -> "EvalSample":
    from inspect_ai.log import EvalSample
    from inspect_ai.model import (
        ChatMessageAssistant,
        ChatMessageUser,
        ContentReasoning,
        ContentText,
        ModelOutput,
    )
    from inspect_ai.scorer import Score

    shown = reply if show else masked_reply(reply)
    said = ChatMessageAssistant(
        content=[ContentReasoning(reasoning=shown["reasoning"] or EMPTY), ContentText(text=shown["answer"])],
        source="generate",
    )
    output = ModelOutput.from_content(scores.model, shown["answer"])
    output.choices[0].message = said
    return EvalSample(
        id=outcome.prompt_id,
        epoch=outcome.sample + 1,
        input=shown["prompt"],
        target=shown["reference_answer"] or "",
        messages=[ChatMessageUser(content=shown["prompt"], source="input"), said],
        output=output,
        scores={name: Score(value=label) for name, label in outcome.measures.items() if label is not None},
        metadata={"category": outcome.category, "attack": outcome.attack, "state": outcome.state},
    )
