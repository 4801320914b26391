"""What a guard is: how it is prompted about one text, and how its reply is parsed.

A reply that does not parse gives null, never "safe": the trace has then failed, and the next run asks again. Replies are
parsed as they come from real servers: with control tokens, bold or in other case, and going on after the verdict.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from annotators.base import Conversation, Token
from annotators.filling import fill
from annotators.grading import expected_level, text_of
from annotators.json_replies import last_object

Field = Literal["reasoning", "answer"]
MARKUP = re.compile(r"<\|[^|>]{0,40}\|>|</?(?:s|eos|bos|end_of_turn|think)>|[*`#]+")
"""Control tokens that a server left in the text, and Markdown."""
ONLY = r"(?!\s*(?:[/|]|or\b))"
"""Behind a verdict: no other one is offered beside it, as in "safe/unsafe"."""


class Finding(NamedTuple):
    """A guard's result for one text."""

    unsafe: bool | None = None
    score: float | None = None
    """How unsafe, 0 to 1, for guards with several levels; intermediate levels count as unsafe."""
    refusal: bool | None = None
    detail: str = ""
    """The guard's own term, such as a category."""
    partial: bool | None = None
    """Whether it refuses but still helps, if the guard reports that."""
    categories: tuple[str, ...] = ()
    """The guard's categories that the text falls into."""
    unread: tuple[str, ...] = ()
    """Categories of which its replies do not tell whether the text falls into them."""
    unlisted: bool = False
    """It also names what is none of its categories: that may be any of those it did not name."""
    refusal_score: float | None = None
    """How likely the refusal is, 0 to 1, where the guard's log-probabilities are known."""


class GradedWord(NamedTuple):
    """The word of a reply that is a verdict, for guards whose log-probabilities give a score."""

    after: str
    """What stands before it, in lower case; "" if the reply begins with it."""
    levels: Mapping[str, float]
    """The possible words in lower case, and how much of the property each says."""

    def score(self, tokens: Sequence[Token]) -> float | None:
        """The mean level of the words that were likely; null if the verdict is not found."""
        at = text_of(tokens).casefold().find(self.after)
        return expected_level(tokens, at + len(self.after), self.levels) if at >= 0 else None


class Guard(NamedTuple):
    """A family of guards."""

    name: str
    patterns: tuple[str, ...]
    """`unsafe` (and with it `unsafe_reasoning` and `unsafe_answer` for the fields it judges; of one field alone it is never false), and `answer_refusal`, `full_refusal` and
    `partial_refusal` if its replies report them."""
    fields: tuple[Field, ...]
    """The fields it judges by default."""
    ask: Callable[[str, str, str], Sequence[Conversation]]
    """(template, prompt, text) -> its requests; several if it judges one policy at a time."""
    parse: Callable[[Sequence[str]], Finding | None]
    """Its replies to these -> the finding."""
    template: str | None = None
    """File with its prompt, in our own wording; null for guards whose tokenizer includes the published one."""
    max_tokens: int = 32
    schema: Mapping[str, Any] | None = None
    version: str = "1"
    categories: tuple[str, ...] = ()
    """All of its categories, if its replies name them: codebooks may map them to entries."""
    unsafe_word: GradedWord | None = None
    """Where its verdict on safety stands, if that is one word."""
    refusal_word: GradedWord | None = None
    """Where its verdict on refusal stands, if that is one word."""


def exchange(template: str, prompt: str, text: str) -> list[Conversation]:
    """The bare exchange, for guards whose chat template adds the policy."""
    return [[{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]]


def as_text(template: str, prompt: str, text: str) -> list[Conversation]:
    """The filled template as a complete prompt, for guards without a chat template."""
    return [[{"role": "text", "content": fill(template, prompt=prompt, response=text)}]]


def as_message(template: str, prompt: str, text: str) -> list[Conversation]:
    """The filled template as a user message, for any chat model."""
    return [[{"role": "user", "content": fill(template, prompt=prompt, response=text)}]]


@cache
def prompt_file(name: str) -> str:
    """The text of a file in `annotators/guards/prompts`."""
    return (files("annotators.guards") / "prompts" / name).read_text(encoding="utf-8")


def plain(reply: str) -> str:
    """A reply without control tokens and Markdown."""
    return MARKUP.sub(" ", reply).strip()


def first_word(reply: str, words: Mapping[str, bool]) -> bool | None:
    """The meaning of the first word of a reply; null if it is none of these, or one of two."""
    first = re.match(rf"\W*(\w+)\b{ONLY}", plain(reply))
    return words.get(first[1].casefold()) if first else None


def json_reply(reply: str) -> dict[str, Any] | None:
    """The last JSON object in a reply, names in lower case; null if there is none."""
    found = last_object(reply)
    return None if found is None else {name.casefold(): value for name, value in found.items()}
