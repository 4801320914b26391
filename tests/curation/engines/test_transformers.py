import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from curation import console
from curation.engines import Sampling
from curation.engines.streaming import Question
from curation.engines.transformers import TransformersEngine, Watched
from schemas.errors import EngineError

END = 9


def written(*rows: list[int]) -> Any:
    return torch.tensor(rows)


def test_a_reply_is_handed_on_while_the_others_are_written() -> None:
    watched, may_go_on = Watched(1, [END]), threading.Event()

    def generate() -> Any:
        watched(written([0, 1], [0, END]), None)
        assert may_go_on.wait(20)
        watched(written([0, 1, END], [0, END, END]), None)
        return written([0, 1, END], [0, END, END])

    ended = watched.ended(generate)
    assert next(ended) == (1, [END])
    may_go_on.set()
    assert list(ended) == [(0, [1, END])]


def test_rows_that_the_limit_cuts_are_handed_on_at_the_end() -> None:
    watched = Watched(1, [END])
    assert list(watched.ended(lambda: written([0, 1], [0, 2]))) == [(0, [1]), (1, [2])]


def test_who_stops_listening_ends_the_batch_at_the_next_token() -> None:
    watched, stopped = Watched(1, [END]), threading.Event()

    def generate() -> Any:
        rows = written([0, END], [0, 1])
        while not watched(rows, None).any():
            pass
        stopped.set()
        return rows

    ended = watched.ended(generate)
    next(ended)
    ended.close()  # type: ignore[attr-defined]
    assert stopped.is_set()


def test_what_the_model_raises_is_raised_to_the_listener() -> None:
    def generate() -> Any:
        raise EngineError("out of memory")

    with pytest.raises(EngineError, match="out of memory"):
        list(Watched(1, [END]).ended(generate))


def test_tokens_are_counted_before_the_first_reply_ends(
    r1_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = TransformersEngine.load(str(r1_model))
    asked = [
        Question([{"role": "user", "content": text}], 0) for text in ("Hi", "How do I grow basil?", "Why?")
    ]
    with console.progress("ask", total=3, unit="replies") as advance:
        found = {}
        for place, reply in engine.stream(asked, Sampling(max_new_tokens=16)):
            found[place] = reply
            advance()
        line = advance.__self__.line()  # type: ignore[attr-defined]
    assert sorted(found) == [0, 1, 2] and " tokens" in line
    together = engine.chat([question.messages for question in asked], Sampling(max_new_tokens=16))
    assert [found[place] for place in range(3)] == together
