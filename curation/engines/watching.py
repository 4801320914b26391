"""Watches a batch that Hugging Face's `generate` works on: replies that have ended are handed on while the others are written.

`generate` returns when the longest reply has ended, which on a CPU may be an hour after the shortest. It runs in a thread, and tells
after each token which rows it has ended; who stops listening ends it at the next token.
"""

import queue
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any

from curation import console


class Watched:
    """A stopping criterion that stops nothing while it is listened to.

    Args:
        width: tokens of the padded prompts.
        stops: the tokens that end a reply.
    """

    def __init__(self, width: int, stops: Collection[int]) -> None:
        self._width, self._stops = width, frozenset(stops)
        self._told: set[int] = set()
        self._given_up = False
        self._queue: queue.SimpleQueue[tuple[int, list[int]] | BaseException | None] = queue.SimpleQueue()

    def __call__(self, input_ids: Any, scores: Any, **others: Any) -> Any:
        """Told the rows so far after each token; says which are to stop beside those that have ended."""
        import torch

        last = input_ids[:, -1].tolist()
        console.count_tokens(len(last) - len(self._told))
        for row, token in enumerate(last):
            if token in self._stops and row not in self._told:
                self._told.add(row)
                self._queue.put((row, input_ids[row, self._width :].tolist()))
        return torch.full((len(last),), self._given_up, dtype=torch.bool, device=input_ids.device)

    def ended(self, generate: Callable[[], Any]) -> Iterator[tuple[int, list[int]]]:
        """Row and tokens of each reply, in the order in which they end; what `generate` raises is raised here."""
        thread = threading.Thread(target=self._run, args=(generate,), daemon=True)
        thread.start()
        try:
            while (found := self._queue.get()) is not None:
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            self._given_up = True
            thread.join()

    def _run(self, generate: Callable[[], Any]) -> None:
        try:
            for row, ids in enumerate(generate()[:, self._width :].tolist()):
                if row not in self._told:
                    self._queue.put((row, ids))
        except BaseException as error:  # noqa: BLE001  raised again where it is waited for
            self._queue.put(error)
        else:
            self._queue.put(None)
