"""Traces as the reader sees them: sentences, packed into windows of a paragraph or so.

Windows break where paragraphs do, so a passage that is put into a text changes its own window and no other: rows made of one
source share most of their windows, and each is encoded once.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

from annotators.sentences import split
from schemas.trace import Trace

WINDOW = 126
"""Tokens read at once: attention is cheap, and what is further apart meets in the layers over sentences."""
LEAST = 40
"""Tokens below which the next paragraph joins the window."""
LONGEST = 80
"""Tokens of a sentence that are read."""
PROMPT = 2 * WINDOW
"""Tokens of a prompt that are read; sentences from the middle of a longer one are left out."""
MARKS = re.compile(r"[\[\](){}*#`_\"“”„«»<>|~]")
"""Not read: brackets mask details in the labelled set, and quotes and markup are habits of a writer."""
Field = Literal["prompt", "reasoning", "answer"]
FIELDS: tuple[Field, ...] = get_args(Field)


class Sentence(NamedTuple):
    """A sentence and where it stands, in code points."""

    field: Field
    start: int
    end: int
    last: bool
    """An empty line follows: it ends a paragraph."""


class Window(NamedTuple):
    """Sentences of one field that are read together."""

    ids: tuple[int, ...]
    ends: tuple[int, ...]
    """Where each sentence ends among the tokens; it starts where the one before ends."""


class Document(NamedTuple):
    """A trace, ready to be read."""

    windows: list[Window]
    sentences: list[Sentence]
    kept: list[int] | None = None
    """Numbers of the sentences among those of the windows, if some were left out."""
    pieces: float = 0.0
    """Tokens per word of the reasoning: how foreign its language is to the tokenizer."""


def sentences(text: str, field: Field) -> Iterator[Sentence]:
    """The sentences of a field."""
    found = split(text.encode("utf-8"))
    point = position = 0
    for start, end, following in zip(
        found.starts, found.ends, [*found.starts, len(found.data)][1:], strict=True
    ):
        point += len(found.data[position:start].decode("utf-8"))
        length = len(found.data[start:end].decode("utf-8"))
        yield Sentence(field, point, point + length, found.data[end:following].count(b"\n") > 1)
        point, position = point + length, end


def read(traces: Sequence[Trace], tokenizer: Any) -> list[Document]:
    """Documents of traces, with the tokens of a fast tokenizer."""
    fields = [
        (list(sentences(text, field)), text)
        for trace in traces
        for field, text in zip(FIELDS, (trace.prompt, trace.reasoning, trace.answer), strict=True)
    ]
    plain = [MARKS.sub(" ", text[s.start : s.end]) for found, text in fields for s in found]
    tokens = iter(_tokens(plain, tokenizer))
    packed = [_packed([(s, next(tokens)) for s in found]) for found, _ in fields]
    return [
        Document(
            [w for windows, _ in three for w in windows],
            [s for _, kept in three for s in kept],
            pieces=sum(len(w.ids) for w in three[1][0])
            / max(1, len(MARKS.sub(" ", trace.reasoning).split())),
        )
        for trace, *three in zip(traces, packed[::3], packed[1::3], packed[2::3], strict=True)
    ]


def _tokens(plain: list[str], tokenizer: Any) -> list[list[int]]:
    if not plain:
        return []
    encoded = tokenizer(plain, add_special_tokens=False, truncation=True, max_length=LONGEST)["input_ids"]
    return [ids or [tokenizer.unk_token_id or 0] for ids in encoded]


def _packed(found: list[tuple[Sentence, list[int]]]) -> tuple[list[Window], list[Sentence]]:
    """A field's windows, and the sentences in them."""
    if found and found[0][0].field == "prompt":
        while len(found) > 1 and sum(len(ids) for _, ids in found) > PROMPT:
            found.pop(len(found) // 2)
    windows: list[Window] = []
    ids: list[int] = []
    ends: list[int] = []

    def close() -> None:
        if ends:
            windows.append(Window(tuple(ids), tuple(ends)))
        ids.clear()
        ends.clear()

    for sentence, tokens in found:
        if len(ids) + len(tokens) > WINDOW:
            close()
        ids += tokens
        ends.append(len(ids))
        if sentence.last and len(ids) >= LEAST:
            close()
    close()
    return windows, [sentence for sentence, _ in found]
