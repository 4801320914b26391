"""gpt-oss's channels ("harmony"): whole, without the first token, or decoded without special tokens.

A turn is messages on the channels `analysis`, `commentary` and `final`. The surprise: without special tokens nothing but the
words `analysis` and `assistantfinal` is left of them, glued to the text.
"""

import re
from typing import NamedTuple

CHANNEL = "<|channel|>"
_MESSAGE = re.compile(
    r"(?:<\|start\|>assistant(?P<to> to=\S{1,100})?)?<\|channel\|>(?P<channel>\w+)(?P<header>[^<]*)(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(?P<body>.*?)(?P<end><\|(?:end|return|call)\|>|(?=<\|start\|>)|\Z)",
    re.DOTALL,
)
_GLUED_START = re.compile(r"(?:assistant)?analysis")
_GLUED = re.compile(r"assistant\s?(final|commentary|analysis)(?=\S)")
_BARE_FINAL = "assistantfinal"


class Channels(NamedTuple):
    """The messages of a turn."""

    thoughts: tuple[str, ...]
    """Everything before the last message, and the last where it is not the answer."""
    answer: str | None
    """The text of the channel `final`; null where the turn never got there."""
    calls: bool
    """Whether the turn ends in a call of a tool."""


def read_channels(text: str) -> Channels | None:
    """A turn's messages, or null for a text that has no channels at its beginning."""
    if text.startswith((CHANNEL, "<|start|>")) and CHANNEL in text:
        return _whole(text)
    return _glued(text)


def _whole(text: str) -> Channels | None:
    messages = list(_MESSAGE.finditer(text))
    if not messages:
        return None
    *others, last = messages
    calls = last["end"] == "<|call|>" or "to=" in f"{last['to']}{last['header']}"
    thoughts = [message["body"] for message in others]
    if last["channel"] == "final" and not calls:
        return Channels(tuple(thoughts), last["body"], False)
    return Channels((*thoughts, last["body"]), None, calls)


def _glued(text: str) -> Channels | None:
    if text.startswith(_BARE_FINAL):
        return Channels((), text.removeprefix(_BARE_FINAL), False)
    if not (start := _GLUED_START.match(text)):
        return None
    marks = list(_GLUED.finditer(text, start.end()))
    if not marks and not text[start.end() : start.end() + 1].isupper():
        return None
    places = [start.end(), *(place for mark in marks for place in mark.span()), len(text)]
    bodies = [text[a:b] for a, b in zip(places[::2], places[1::2], strict=True)]
    if marks and marks[-1][1] == "final":
        return Channels(tuple(bodies[:-1]), bodies[-1], False)
    return Channels(tuple(bodies), None, False)
