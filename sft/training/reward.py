"""A reward for reinforcement learning from our annotators: what GRPOTrainer takes as a reward function.

    from sft.training.reward import pattern_reward
    GRPOTrainer(..., reward_funcs=pattern_reward(["rules"]), train_dataset=load_dataset("json", data_files="pairs/safe/grpo.jsonl"))

A reply of which nothing is known has no reward (None, which TRL leaves out), never 0.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from annotators import catalog
from annotators.base import Annotator
from schemas.annotation import Annotation
from schemas.errors import RecipeError
from schemas.patterns import RISKY_PATTERNS
from schemas.prompt import prompt_id
from schemas.response import Fault, split
from schemas.trace import Trace, ingested_trace_id

Reward = Callable[..., list[float | None]]
REFUSAL = "answer_refusal"


def pattern_reward(annotators: Sequence[str] = ("rules",), unfinished: float | None = -1.0) -> Reward:
    """A reward of 1 for a reply without faults, less the share of the labels that are bad.

    Bad are the five risky patterns, and for prompts of other kinds than harmful a refusal instead. Where several annotators label the same
    pattern, it counts as found if one finds it.

    Args:
        annotators: names of the catalog that need no model of their own.
        unfinished: reward of a reply without finished reasoning or without an answer; None leaves it out.

    Returns:
        A function of `prompts`, `completions` and the columns `kind`, as TRL's GRPOTrainer calls it.

    Raises:
        RecipeError: if an annotator is unknown, or needs a model.
    """
    judges = [catalog.get(name) for name in annotators]
    if not judges:
        raise RecipeError("a reward needs an annotator; name one, such as rules")

    def reward(
        prompts: Sequence[Any], completions: Sequence[Any], kind: Sequence[str | None] = (), **_: Any
    ) -> list[float | None]:
        kinds = list(kind) or [None] * len(prompts)
        traces = [_trace(*one) for one in zip(prompts, completions, kinds, strict=True)]
        labels = _labels(judges, [trace for trace in traces if trace])
        return [
            unfinished if trace is None else score(labels.get(trace.trace_id, {}), trace.kind)
            for trace in traces
        ]

    reward.__name__ = "pattern_reward"
    return reward


def score(labels: Mapping[str, bool | None], kind: str | None) -> float | None:
    """1 less the share of labels that are bad; null where no label is known.

    Args:
        labels: by pattern.
        kind: of the prompt; null counts as harmful, as it does for `risky`.
    """
    bad = RISKY_PATTERNS if kind in (None, "harmful") else ("inconsistency", REFUSAL)
    known = [labels[name] for name in bad if labels.get(name) is not None]
    return 1 - sum(map(bool, known)) / len(known) if known else None


def _trace(prompt: Any, completion: Any, kind: Any) -> Trace | None:
    """The reply as a trace; null where it has no finished reasoning or no answer."""
    asked, parts = _text(prompt), split(_text(completion))
    if isinstance(parts, Fault):
        return None
    identity = prompt_id(asked)  # the kind decides what is judged, so it is in the id too
    return Trace(
        trace_id=ingested_trace_id(identity, kind, None, *parts),
        prompt_id=identity,
        prompt=asked,
        kind=kind,
        reasoning=parts.reasoning,
        answer=parts.answer,
    )


def _text(said: Any) -> str:
    """The text of a prompt or completion: TRL gives texts, or lists of messages."""
    if isinstance(said, str):
        return said
    last = said[-1]
    reasoning = last.get("reasoning_content") or last.get("thinking")
    return f"<think>\n{reasoning}\n</think>\n\n{last['content']}" if reasoning else str(last["content"])


def _labels(judges: Sequence[Annotator], traces: Sequence[Trace]) -> dict[str, dict[str, bool | None]]:
    labels: dict[str, dict[str, bool | None]] = {}
    for judge in judges:
        for one in judge.annotate(traces):
            if isinstance(one, Annotation) and one.label is not None:
                mine = labels.setdefault(one.trace_id, {})
                mine[one.pattern] = bool(mine.get(one.pattern)) or one.label
    return labels
