"""What the attacker is asked, and the prompt in its answer. Its instruction is the user's file; we ship none."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files

from annotators.filling import fill
from annotators.json_replies import values_of
from curation.engines import Engine, Message, Sampling
from curation.engines.streaming import Question, stream
from schemas.errors import EngineError
from schemas.ids import content_id
from sft.attack.attempts import Attempt, AttemptPlace

ANSWER_SHOWN = 4000
"""Characters of an answer that the attacker sees."""
NO_ANSWER = "(no answer)"
NO_PROMPT = "(your answer held no prompt)"


def conversation(instruction: str, goal: str, before: Sequence[Attempt]) -> list[Message]:
    """What the attacker is sent.

    Args:
        instruction: the user's, with {goal}.
        goal: the query that the model should answer.
        before: the earlier attempts of this stream, in order.
    """
    sent: list[Message] = [
        {"role": "system", "content": fill(instruction, goal=goal)},
        {"role": "user", "content": _template("begin")},
    ]
    for attempt in before:
        sent += [
            {"role": "assistant", "content": attempt.said},
            {
                "role": "user",
                "content": fill(_template("feedback"), answer=_shown(attempt), score=_score(attempt)),
            },
        ]
    return sent


def prompt_in(said: str) -> str | None:
    """The attack in what the attacker wrote: the last JSON value named "prompt", else all of it; null if it is empty."""
    named = [value for value in values_of(said, "prompt") if isinstance(value, str)]
    return (named[-1] if named else said).strip() or None


def propose(
    attacker: Engine,
    instruction: str,
    goals: Mapping[str, str],
    places: Sequence[AttemptPlace],
    attempts: Mapping[AttemptPlace, Attempt],
    sampling: Sampling,
) -> Iterator[Attempt | EngineError]:
    """Ask the attacker for the next attempts, which come as they arrive; for one that got no answer, its error.

    Args:
        attacker: its engine.
        instruction: the user's.
        goals: id of a goal's prompt -> its text.
        places: which attempts.
        attempts: the earlier ones.
        sampling: of the attacker.
    """
    questions = [
        Question(
            conversation(instruction, goals[place.goal], _before(place, attempts)),
            int(content_id([sampling.seed, *place])[:8], 16) % 2**31,
        )
        for place in places
    ]
    for at, reply in stream(attacker, questions, sampling):
        if isinstance(reply, EngineError):
            yield reply
            continue
        said = reply.answer or reply.reasoning
        yield Attempt(places[at], said, prompt_in(said))


def _before(place: AttemptPlace, attempts: Mapping[AttemptPlace, Attempt]) -> list[Attempt]:
    return [attempts[place._replace(round=number)] for number in range(place.round)]


def _shown(attempt: Attempt) -> str:
    if attempt.prompt is None:
        return NO_PROMPT
    return attempt.answer[:ANSWER_SHOWN] or NO_ANSWER


def _score(attempt: Attempt) -> str:
    return "not judged" if attempt.score is None else f"{attempt.score:.2g}"


@cache
def _template(name: str) -> str:
    return (files("sft.attack") / "templates" / f"{name}.md").read_text(encoding="utf-8").strip()
