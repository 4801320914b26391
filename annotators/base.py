"""What an annotator is: a function from traces to annotations, with a name and a version.

`annotate(traces)` yields, for each trace in order, one annotation per pattern in `patterns`; an annotator that cannot
judge a trace abstains with a null label. A model annotator is built by a factory that is given its model; if the model does
not answer, the trace gets a `Failure` instead of annotations and is retried by the next run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from schemas.annotation import Annotation
from schemas.errors import EngineError
from schemas.ids import texts_id
from schemas.trace import Trace

Conversation = Sequence[dict[str, str]]
"""Messages (`{"role": ..., "content": ...}`), the last of which is to be answered, whatever its role. A single
message with the role "text" is a complete prompt: no chat template is applied."""


class Token(NamedTuple):
    """One generated token, with what else the model might have written in its place."""

    text: str
    alternatives: Mapping[str, float]
    """Probability of each likely token, itself included."""


class Answer(NamedTuple):
    """The answer to one conversation, or its error."""

    place: int
    """Index of the conversation, from 0."""
    text: str | EngineError
    """"" if the reply ended before its answer began; an error if there is no reply."""
    tokens: Sequence[Token] = ()
    """The whole reply, where the engine gives log-probabilities."""


class Model(Protocol):
    """A language model that judges; `curation.annotate.asking` wraps an engine as one."""

    name: str
    """"name@fingerprint" of its weights."""

    def answer(
        self,
        conversations: Sequence[Conversation],
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
    ) -> Iterator[Answer]:
        """Answer in order of arrival, each exactly once.

        Args:
            conversations: what to answer.
            max_tokens: limit of each reply.
            schema: a JSON schema that replies must follow, where the engine can enforce one.
            temperature: 0 is greedy; above it, equal conversations get replies of their own.

        Raises:
            EngineError: if no further conversation can be answered.
        """
        ...


class Replies(NamedTuple):
    """Replies in the order of their conversations."""

    texts: list[str | EngineError]
    stopped: EngineError | None
    """The error that ended the batch early, if any."""
    tokens: list[Sequence[Token]]
    """Their tokens; empty where the engine gives no log-probabilities."""


def ask_all(
    model: Model,
    conversations: Sequence[Conversation],
    max_tokens: int,
    schema: Mapping[str, Any] | None = None,
    temperature: float = 0.0,
) -> Replies:
    """Send all conversations and wait; if the model stops, missing replies are replaced by its error."""
    answers: dict[int, Answer] = {}
    stopped = None
    try:
        for answer in model.answer(conversations, max_tokens, schema, temperature):
            answers[answer.place] = answer  # what came before an error is kept
    except EngineError as error:
        stopped = error
    missing = Answer(0, stopped or EngineError("the model did not answer"))
    found = [answers.get(place, missing) for place in range(len(conversations))]
    return Replies([answer.text for answer in found], stopped, [answer.tokens for answer in found])


UNREADABLE = "the reply could not be read"
"""Why a trace has failed whose reply says nothing that was asked for."""


UNASKED = ("judged on ", "not asked", "the reasoning is empty", "nothing to judge")
"""What the rationale of an abstention says where the model was not asked for that verdict."""


class Failure(NamedTuple):
    """Stands in for all annotations of a trace that could not be judged now."""

    trace_id: str
    reason: str


Annotate = Callable[[Sequence[Trace]], Iterable[Annotation | Failure]]


class Annotator(NamedTuple):
    """A named, versioned function that labels traces."""

    name: str
    """"family@version" or "family:name@version", as in the annotations table."""
    patterns: tuple[str, ...]
    """The patterns and properties it labels, for every trace."""
    annotate: Annotate
    """Traces in, annotations out: in trace order, `patterns` order within a trace."""
    parallel: bool = False
    """True if it is cheap to build and runs on one core, so that several processes may each run their own."""
    batch_traces: int = 512
    """Traces to pass at once, so that progress moves and results are written every few seconds."""
    questions: Callable[[Trace], Sequence[Conversation]] | None = None
    """The first requests to its model about a trace, for cost estimates; null for annotators without a model."""
    reply_tokens: int = 0
    """Usual length of a reply to one of them."""
    plain_query: bool = False
    """True if it should see the query inside a jailbreak rather than the jailbreak, if known: attack success is judged on the query."""


def model_identity(name: str, alias: str = "") -> str:
    """A model's part of an annotator's name: its alias or name, and the fingerprint of its weights if known.

    Args:
        name: "name@fingerprint"; a server's weights are not known ("name@server").
        alias: a name chosen by the user.
    """
    plain, _, fingerprint = name.partition("@")
    known = f"-{fingerprint}" if fingerprint not in ("", "server") else ""
    chosen = alias or plain
    return "".join(c if (c.isalnum() and c.isascii()) or c in "._+/-" else "-" for c in chosen + known)


def full_name(family: str, variant: str, version: str) -> str:
    """What an annotator is called: "family@version", or "family:variant@version"."""
    return f"{family}{':' if variant else ''}{variant}@{version}"


def own_variant(card: Path, shipped: Path) -> str:
    """A word for an annotator of somebody's own training, whose labels are not those of the shipped one; "" for that.

    Args:
        card: the file that says how it was made.
        shipped: the same of the shipped one.
    """
    told, theirs = (one.read_text(encoding="utf-8") for one in (card, shipped))
    return "" if told == theirs else f"own-{texts_id(told)[:8]}"
