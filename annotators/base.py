"""What an annotator is: a function from traces to annotations, with a name and a version.

`annotate(traces)` yields, for each trace in order, one annotation per pattern in `patterns`; an annotator that cannot
know abstains with a null label. A model annotator is made by a factory that is handed its model; where that does not
answer, the trace gets a `Failure` in place of its annotations and is tried again by the next run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from schemas.annotation import Annotation
from schemas.errors import EngineError
from schemas.trace import Trace

Conversation = Sequence[dict[str, str]]
"""Messages (`{"role": ..., "content": ...}`), of which the last one is to be replied to, whoever wrote it. A single
message with the role "text" is a whole prompt: no chat template is put around it."""


class Answer(NamedTuple):
    """What became of a question."""

    place: int
    """Its place among the conversations, from 0."""
    text: str | EngineError
    """"" for a reply that never got as far as an answer; the error where there is no reply."""


class Model(Protocol):
    """A language model that judges; `curation.annotate.asking` makes one of an engine."""

    name: str
    """"name@fingerprint" of its weights."""

    def answer(
        self, conversations: Sequence[Conversation], max_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> Iterator[Answer]:
        """Answer greedily, in order of arrival, each exactly once.

        Args:
            conversations: the questions.
            max_tokens: the longest reply.
            schema: a JSON schema that replies must follow, where the engine can enforce one.

        Raises:
            EngineError: if no further question can be answered.
        """
        ...


class Replies(NamedTuple):
    """The replies to some questions, in their order."""

    texts: list[str | EngineError]
    stopped: EngineError | None
    """Why nobody further can be asked, if so."""


def ask_all(
    model: Model,
    conversations: Sequence[Conversation],
    max_tokens: int,
    schema: Mapping[str, Any] | None = None,
) -> Replies:
    """Ask everything and wait; a model that stops leaves its error in the place of the replies that are missing."""
    texts: dict[int, str | EngineError] = {}
    stopped = None
    try:
        for place, text in model.answer(conversations, max_tokens, schema):
            texts[place] = text  # noqa: PERF403  what came before an error is kept
    except EngineError as error:
        stopped = error
    missing = stopped or EngineError("the model did not answer")
    return Replies([texts.get(place, missing) for place in range(len(conversations))], stopped)


class Failure(NamedTuple):
    """Stands in for all annotations of a trace that could not be judged now."""

    trace_id: str
    reason: str


Annotate = Callable[[Sequence[Trace]], Iterable[Annotation | Failure]]


class Annotator(NamedTuple):
    """A named, versioned judge of traces."""

    name: str
    """"family@version" or "family:name@version", as it stands in the annotations table."""
    patterns: tuple[str, ...]
    """The patterns and properties it gives a verdict on, for every trace."""
    annotate: Annotate
    """Traces in, annotations out: in trace order, `patterns` order within a trace."""
    parallel: bool = False
    """True if it is cheap to build and bound by one core, so that several processes may each run their own."""
    questions: Callable[[Trace], Sequence[Conversation]] | None = None
    """What it first asks its model about a trace, for estimates; null for annotators without a model."""
    reply_tokens: int = 0
    """What a reply to one of these usually takes."""
    plain_query: bool = False
    """True if it is to see, in place of a jailbreak, the query that it wraps, where that is known: attack success is judged so."""


def model_identity(name: str, alias: str = "") -> str:
    """How a model is called in an annotator's name: its alias or name, and the fingerprint of its weights if known.

    Args:
        name: "name@fingerprint"; a server's weights are not known ("name@server").
        alias: a name of the user's choice.
    """
    plain, _, fingerprint = name.partition("@")
    known = f"-{fingerprint}" if fingerprint not in ("", "server") else ""
    chosen = alias or plain
    return "".join(c if (c.isalnum() and c.isascii()) or c in "._+/-" else "-" for c in chosen + known)
