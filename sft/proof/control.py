"""Control tokens inside texts: what a row says must not open a turn, end one, or call a tool.

A tokenizer turns the text `<|im_end|>` into the token that ends a turn, wherever it stands. A control token is one that the
tokenizer calls special, or an added one that the chat template writes or that looks like one: DeepSeek's role tokens are not called
special. The think tags have a claim of their own.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from schemas.conversation import Turn
from schemas.row import Row

THINK_TAGS = frozenset({"<think>", "</think>"})
BREAK = "\u2060"
"""Word joiner: invisible, and enough for the tokenizer not to see its token."""
SHOWN = 5
"""Places of a row that are told."""
_SHAPE = re.compile(r"<[|｜].*[|｜]>\Z")
_MARK = re.compile(r"[<\[|｜◁]")
"""Some tokenizers add runs of line breaks, which are no marks."""


class Place(NamedTuple):
    """A control token in a row."""

    where: str
    """prompt, reasoning, answer, tools, or the number of the turn with its role and field."""
    token: str

    def __str__(self) -> str:
        return f"{self.token} in {self.where}"


class ControlTokens:
    """The control tokens of a tokenizer."""

    def __init__(self, tokens: frozenset[str]) -> None:
        longest_first = sorted(tokens, key=lambda token: (-len(token), token))
        self._starts = tuple({token[:2] for token in tokens})
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if tokens else None

    def find(self, row: Row) -> list[Place]:
        """Every control token in a row's texts, with its place."""
        return [Place(where, token) for where, text in _texts(row) for token in self._in(text)]

    def escape(self, row: Row) -> Row:
        """The row with an invisible character inside each control token, so that all of it is text."""
        changed: dict[str, Any] = {
            name: self._broken(getattr(row, name)) for name in ("prompt", "reasoning", "answer")
        }
        changed["tools"] = row.tools and self._broken(row.tools)
        if row.turns:
            changed["turns"] = tuple(self._broken_turn(turn) for turn in row.turns)
        return row.model_copy(update=changed)

    def _in(self, text: str) -> list[str]:
        if self._pattern is None or not any(start in text for start in self._starts):
            return []
        return list(dict.fromkeys(match[0] for match in self._pattern.finditer(text)))

    def _broken(self, text: str) -> str:
        if not self._in(text):
            return text
        assert self._pattern is not None
        return self._pattern.sub(lambda match: match[0][0] + BREAK + match[0][1:], text)

    def _broken_turn(self, turn: Turn) -> Turn:
        texts = {name: value for name, value in turn.model_dump().items() if name != "role" and value}
        return turn.model_copy(update={name: self._broken(value) for name, value in texts.items()})


def of_tokenizer(tokenizer: Any) -> ControlTokens:
    """The control tokens of a transformers tokenizer with a chat template."""
    added = tokenizer.added_tokens_decoder.values()
    special = {str(token) for token in added if token.special} | set(tokenizer.all_special_tokens)
    template = str(tokenizer.chat_template or "")
    names = {str(token) for token in added}
    written = {name for name in names if _SHAPE.match(name) or (name in template and _MARK.search(name))}
    return _known(frozenset(token for token in special | written if len(token) > 1) - THINK_TAGS)


@lru_cache(maxsize=16)
def _known(tokens: frozenset[str]) -> ControlTokens:
    return ControlTokens(tokens)


def _texts(row: Row) -> Iterator[tuple[str, str]]:
    if row.turns:
        for number, turn in enumerate(row.turns, 1):
            fields = {name: value for name, value in turn.model_dump().items() if name != "role" and value}
            yield from (
                (f"turn {number} ({turn.role}{'' if name == 'content' else f', {name}'})", value)
                for name, value in fields.items()
            )
    else:
        yield "prompt", row.prompt
    if row.tools:
        yield "tools", row.tools
    yield "reasoning", row.reasoning
    yield "answer", row.answer
