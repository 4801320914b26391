"""Generates a model's replies to the prompts of a corpus; they become traces there, under the fingerprint of its weights.

A model retrained under the same name is asked again; an interrupted run generates only the missing replies.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from annotators.filling import fill
from curation import console
from curation.corpus.buffer import PartBuffer
from curation.corpus.store import Store
from curation.engines import Engine, Message, Reply, Sampling
from curation.engines.prompting import TOOLS, asked
from curation.engines.streaming import Question, stream
from curation.generate.strategies import thinking
from schemas.choices import ScoredThink
from schemas.errors import EngineError
from schemas.ids import canonical_json, content_id
from schemas.response import OPEN
from schemas.trace import generated_trace_id

STRATEGY = "default@1"
"""The plain query, no instruction."""
CHUNK = 128
CHUNK_SECONDS = 10.0
"""Replies per written part, and its age: the most that a kill can lose."""
KEEPS = "replies are saved; the same command asks for the others"


class Asking(NamedTuple):
    """Sampling options of scoring."""

    sampling: Sampling
    samples: int = 1
    """Replies per prompt."""
    think: ScoredThink = "as_is"
    """zero: chain of thought off (an empty, closed think block); less: a short fixed one."""
    template: str | None = None
    """Text around the prompt, which stands in it as `{prompt}`."""
    system: str | None = None
    """The system prompt."""
    prefixes: Mapping[str, str] | None = None
    """prompt_id -> the beginning of a reasoning from which the model goes on; null: it begins by itself."""

    def settings_for(self, prompt_id: str) -> dict[str, Any]:
        """Everything that affects the text of the reply to a prompt."""
        prefix = {} if self.prefixes is None else {"prefix": content_id(self.prefixes[prompt_id])}
        return self.settings | prefix

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that affects the text, but for the prompt's own prefix."""
        mode = (
            {} if self.think == "as_is" else {"think": f"{self.think}.{content_id(thinking(self.think))[:8]}"}
        )
        texts = {"template": self.template, "system": self.system}
        return (
            self.sampling.model_dump()
            | mode
            | {name: content_id(text)[:8] for name, text in texts.items() if text is not None}
        )

    def messages(self, prompt: Mapping[str, Any]) -> list[Message]:
        """What is sent for a row of the prompts table; a suite's system prompt takes the place of the conversation's own."""
        text = prompt["text"] if self.template is None else fill(self.template, prompt=prompt["text"])
        sent = asked(text, prompt.get("turns"), prompt.get("tools"))
        if self.system is not None:
            others = [message for message in sent if message["role"] != "system"]
            tools = [message for message in others[:1] if message["role"] == TOOLS]  # these stand first
            sent = [*tools, {"role": "system", "content": self.system}, *others[len(tools) :]]
        return [*sent, *({"role": "assistant", "content": begun} for begun in self._beginnings(prompt))]

    def _beginnings(self, prompt: Mapping[str, Any]) -> list[str]:
        if self.prefixes is not None:
            return [f"{OPEN}\n{self.prefixes[prompt['prompt_id']]}"]
        return [] if self.think == "as_is" else [thinking(self.think)]


class _Task(NamedTuple):
    trace_id: str
    prompt: dict[str, Any]
    sample: int


def trace_ids(engine_name: str, prompts: Sequence[dict[str, Any]], asking: Asking) -> list[str]:
    """The trace ids of a model's replies, known before they are generated."""
    return [task.trace_id for task in _tasks(engine_name, prompts, asking)]


def ask(engine: Engine, corpus: Store, prompts: Sequence[dict[str, Any]], asking: Asking) -> int:
    """Generate the missing replies; returns how many were requested.

    Args:
        engine: the model.
        corpus: gets the replies as traces.
        prompts: rows of the prompts table.
        asking: sampling options.

    Raises:
        EngineError: if a prompt got no reply; the others are in the corpus, and a rerun generates the rest.
    """
    known = corpus.keys("traces")
    missing = [task for task in _tasks(engine.name, prompts, asking) if task.trace_id not in known]
    failed: list[EngineError] = []
    with (
        console.progress("score", total=len(missing), unit="replies", keeps=KEEPS) as advance,
        PartBuffer[dict[str, Any]](partial(_write, corpus), CHUNK, CHUNK_SECONDS) as buffer,
    ):
        for task, reply in _replies(engine, missing, asking):
            advance(1)
            if isinstance(reply, EngineError):
                failed.append(reply)
                continue
            buffer.add(_trace(task, reply, engine, asking))
    if failed:
        raise EngineError(
            f"{len(failed)} of {len(missing)} prompts got no reply; first error: {failed[0]}; repeat the command to retry"
        )
    return len(missing)


def _tasks(engine_name: str, prompts: Sequence[dict[str, Any]], asking: Asking) -> Iterator[_Task]:
    for prompt in prompts:
        settings = asking.settings_for(prompt["prompt_id"])
        for sample in range(asking.samples):
            key = generated_trace_id(prompt["prompt_id"], STRATEGY, engine_name, settings, sample)
            yield _Task(key, prompt, sample)


def _replies(
    engine: Engine, tasks: Sequence[_Task], asking: Asking
) -> Iterator[tuple[_Task, Reply | EngineError]]:
    questions = [
        Question(
            asking.messages(task.prompt),
            int(content_id([asking.sampling.seed, task.trace_id])[:8], 16) % 2**31,
        )
        for task in tasks
    ]
    for place, reply in stream(engine, questions, asking.sampling):
        yield tasks[place], reply


def _write(corpus: Store, rows: list[dict[str, Any]]) -> None:
    with corpus.writing("traces"):
        there = corpus.keys("traces")
        corpus.append_rows("traces", [row for row in rows if row["trace_id"] not in there])


def own_part(reasoning: str, prefix: str) -> str:
    """What a model wrote itself of a reasoning that began with a prefix; all of it where the engine gives no prefix back."""
    text = reasoning.strip()
    start = len(text) - len(text.removeprefix(OPEN).lstrip())
    return (
        text[start:].removeprefix(prefix.strip()).lstrip()
        if text[start:].startswith(prefix.strip())
        else reasoning
    )


def _trace(task: _Task, reply: Reply, engine: Engine, asking: Asking) -> dict[str, Any]:
    prompt_id = task.prompt["prompt_id"]
    prefix = "" if asking.prefixes is None else asking.prefixes[prompt_id]
    extra = {"think_state": reply.think_state} | ({"prefix": prefix} if prefix else {})
    return {
        "trace_id": task.trace_id,
        "prompt_id": prompt_id,
        "prompt": task.prompt["text"],
        "turns": task.prompt.get("turns"),
        "tools": task.prompt.get("tools"),
        "kind": task.prompt["kind"],
        "system": asking.system,
        "strategy": STRATEGY,
        "model": engine.name,
        "reasoning": own_part(reply.reasoning, prefix) if prefix else reply.reasoning,
        "answer": reply.answer,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "reasoning_tokens": reply.reasoning_tokens,
        "answer_tokens": reply.answer_tokens,
        "sampling": canonical_json(asking.settings_for(prompt_id)).decode(),
        "sample_index": task.sample,
        "source": "sft score",
        "extra": canonical_json(extra).decode(),
    }
